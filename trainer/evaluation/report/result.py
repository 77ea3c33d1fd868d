"""The result of an evaluation, as it is stored in `result.json`."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from surgstream.trainer.evaluation.tasks.config import Published
from surgstream.trainer.lineage.verdict import LeakMark


@dataclass(frozen=True, kw_only=True)
class Value:
    """The value of a metric.

    Attributes:
        value: The metric; NaN where it is undefined.
        low: The lower end of its 95 % interval; NaN where there is none.
        high: The upper end.
        interval: How the interval was made, or why there is none.
        averaged: What the value is the mean of.
        undefined: What was left out of the mean, a sentence each.
        per_class: The value of each class.
        spread: The standard deviation over seeds; NaN of one.
        seeds: The value of each seed.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    interval: str
    averaged: str
    undefined: tuple[str, ...] = ()
    per_class: dict[str, float] = field(default_factory=dict)
    spread: float = math.nan
    seeds: tuple[float, ...] = ()


RowKind = Literal["model", "remainder", "yardstick"]
"""A model; a model again, on the videos that it was not trained on; or what anybody could predict."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: a model, or a yardstick.

    Attributes:
        name: Its name.
        kind: What it is.
        values: Its metrics by id.
        per_video: Of each video the metrics that it has by itself, by id.
        marks: What a reader must know of it, such as `constant`.
        confusion: Of classes the rows of the first seed by true class, down, and predicted class, across.
        told: Sentences about its predictions.
        files: The SHA-256 of each file of predictions, by its name.
        about: What made the predictions, as their maker tells it.
        leaks: Of a model which of the videos it was trained on, as far as that is known.
    """

    name: str
    kind: RowKind
    values: dict[str, Value]
    per_video: dict[str, dict[str, float]]
    marks: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    told: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    leaks: LeakMark | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A model against another one on the same videos.

    Attributes:
        model: The model.
        other: The other one.
        metric: The id of the metric.
        difference: The model's value less the other's.
        low: The lower end of its 95 % interval.
        high: The upper end.
        p: Of Wilcoxon's signed-rank test, corrected for the number of comparisons (Holm); NaN without a test.
        says: What follows at the 5 % level: `better`, `worse`, `no difference found`, or `n too small`.
        sentence: Signs, the test and its floor, and the least difference that could have been detected.
    """

    model: str
    other: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    says: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """Videos that are scored by themselves as well.

    Attributes:
        title: What they are called.
        num_videos: How many there are.
        num_expected: How many are published; None where nobody says.
    """

    title: str
    num_videos: int
    num_expected: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of an evaluation.

    Attributes:
        task: The task's name.
        version: The task's version.
        title: The task's title.
        split: The videos: `test`, or another split.
        main: The id of the main metric.
        metrics: Title, whether it is printed times 100, and whether more is better, of each metric by id.
        num_videos: Videos.
        num_rows: Labelled rows.
        parts: Parts of the videos, by what is behind the ids of their metrics.
        num_groups: Groups of videos, which the intervals draw from.
        videos_sha256: The SHA-256 of the videos' ids.
        labels: Where the labels came from.
        labels_sha256: The SHA-256 of all label files that were read.
        rows: Models, each that was trained on some of the videos with its remainder behind it, then yardsticks.
        comparisons: Pairs of models.
        published: Published values.
        caveats: Caveats of published values by letter.
        packed_by: Presets that pack videos of this split for pretraining, with the ids.
        notes: What the task says.
        warnings: What a reader should know.
        versions: Versions of what computed it.
    """

    task: str
    version: int
    title: str
    split: str
    main: str
    metrics: dict[str, dict[str, Any]]
    num_videos: int
    num_rows: int
    num_groups: int
    videos_sha256: str
    labels: str
    labels_sha256: str
    rows: tuple[Row, ...]
    parts: dict[str, Part] = field(default_factory=dict)
    comparisons: tuple[Compared, ...] = ()
    published: tuple[Published, ...] = ()
    caveats: dict[str, str] = field(default_factory=dict)
    packed_by: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> tuple[Row, ...]:
        """The rows that are models."""
        return tuple(row for row in self.rows if row.kind == "model")


def to_json(value: Any) -> Any:
    """A result, or a part of it, as JSON has it: NaN becomes null."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
