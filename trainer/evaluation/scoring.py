"""From predictions and labels to a result: metrics with intervals, yardsticks, comparisons."""

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.comparing import compare_models
from surgstream.trainer.evaluation.dense.truth import DenseTruth
from surgstream.trainer.evaluation.dense.yardsticks import dense_yardsticks
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.parts import part_warnings, told_parts
from surgstream.trainer.evaluation.predictions.common import on_common_rows
from surgstream.trainer.evaluation.predictions.yardsticks import CONSTANT, yardsticks
from surgstream.trainer.evaluation.remainder import compare_on_clean, remainder_of
from surgstream.trainer.evaluation.report.result import Result, Row
from surgstream.trainer.evaluation.report.warnings import warnings
from surgstream.trainer.evaluation.scorer import ALWAYS_THE_SAME, Model, Scorer
from surgstream.trainer.evaluation.tasks.config import TaskConfig

AS_CONSTANT = "= constant"
"""The mark of a model whose main metric is that of the constant."""

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """The labels that an evaluation goes by.

    Attributes:
        split: The name of the videos, such as `test`.
        where: Where labels lie.
        sha256: The SHA-256 of all label files that were read.
        train: The labelled rows of the training videos; None where they are not at hand.
    """

    split: str
    where: str
    sha256: str
    train: Sequence[TrueRows] | None


def evaluate(
    task: TaskConfig,
    space: LabelSpace,
    models: Sequence[Model],
    truth: Truth,
    *,
    with_comparisons: bool = False,
    packed_by: Mapping[str, tuple[str, ...]] | None = None,
    dense_truth: DenseTruth | None = None,
) -> Result:
    """Compute a result.

    Args:
        task: The task.
        space: What labels it has.
        models: The models, over the same videos; at least one.
        truth: The labels.
        with_comparisons: Compare every other model with the first one, also on the videos that none was trained on.
        packed_by: Presets that pack some of the videos for pretraining.
        dense_truth: What is true of each pixel; of masks and depth.
    """
    models = _on_common_rows(models)
    videos = models[0].seeds[0]
    scorer = Scorer(task, space, videos)
    rows = [row for model in models for row in _rows_of(model, scorer, task, space)]

    for name, predicted in _yardsticks(task, space, videos, truth, dense_truth).items():
        rows.append(scorer.row(Model(name=name, seeds=(predicted,)), kind="yardstick"))
    rows = _marked(rows, task.main)

    comparisons = []
    if with_comparisons:
        comparisons = [*compare_models(scorer, models), *compare_on_clean(models, task, space)]

    names = "\n".join(video.video for video in videos)
    return Result(
        task=task.name,
        version=task.version,
        title=task.title,
        split=truth.split,
        main=task.main,
        metrics={name: _about(metric) for name, metric in scorer.metrics.items()},
        num_videos=len(videos),
        num_rows=_num_rows(videos),
        num_groups=len({video.group for video in videos}),
        videos_sha256=hashlib.sha256(names.encode()).hexdigest(),
        labels=truth.where,
        labels_sha256=truth.sha256,
        rows=tuple(rows),
        parts=told_parts(task, videos),
        comparisons=tuple(comparisons),
        published=task.published,
        caveats=task.caveats,
        packed_by=dict(packed_by or {}),
        notes=task.notes,
        warnings=(*_warnings(rows, scorer, truth), *part_warnings(task, videos, truth.split)),
        versions=_versions(),
    )


def _rows_of(model: Model, scorer: Scorer, task: TaskConfig, space: LabelSpace) -> Iterator[Row]:
    """The row of a model, and that of the videos that it was not trained on where it was trained on some."""
    yield scorer.row(model)
    if remainder := remainder_of(model, task, space):
        yield remainder


def _yardsticks(
    task: TaskConfig,
    space: LabelSpace,
    videos: Videos,
    truth: Truth,
    dense_truth: DenseTruth | None,
) -> Mapping[str, Videos]:
    """What predicts without an encoder, by its name."""
    if dense_truth:
        return dense_yardsticks(task, videos, dense_truth)
    return yardsticks(truth.train, {video.video: video for video in videos}, space)


def _on_common_rows(models: Sequence[Model]) -> list[Model]:
    """The models on the rows that all of them, and all their seeds, have."""
    every = [videos for model in models for videos in model.seeds]
    common = iter(on_common_rows(every))
    found = []
    for model in models:
        seeds = tuple(next(common) for _ in model.seeds)
        lost = sum(map(_num_rows, model.seeds)) - sum(map(_num_rows, seeds))
        told = list(model.told)
        if lost:
            told.append(f"{lost} of its rows do not count, as another model or seed lacks them")
        found.append(dataclasses.replace(model, seeds=seeds, told=tuple(told)))
    return found


def _num_rows(videos: Videos) -> int:
    return sum(video.num_rows for video in videos)


def _marked(rows: Sequence[Row], main: str) -> list[Row]:
    """The rows, those of models marked whose main metric is that of the constant."""
    constants = [
        row.values[main].value
        for row in rows
        if row.name == CONSTANT and row.kind == "yardstick" and main in row.values
    ]

    found = []
    for row in rows:
        may_be = row.kind == "model" and ALWAYS_THE_SAME not in row.marks and main in row.values
        if may_be and any(abs(row.values[main].value - value) < _ROUNDING for value in constants):
            row = dataclasses.replace(row, marks=(*row.marks, AS_CONSTANT))
        found.append(row)
    return found


def _warnings(rows: Sequence[Row], scorer: Scorer, truth: Truth) -> Iterator[str]:
    yield from warnings(rows, scorer.units, truth.split, has_train=truth.train is not None)


def _versions() -> dict[str, str]:
    """Versions of what the numbers come from, as far as it is installed."""
    found = {}
    for name in ("surgstream", "numpy", "scipy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _about(metric: Metric) -> dict[str, Any]:
    return {
        "title": metric.title,
        "percent": metric.percent,
        "higher_is_better": metric.higher_is_better,
    }
