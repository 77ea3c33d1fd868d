"""From predictions and labels to a result: metrics with intervals, yardsticks, comparisons."""

import dataclasses
import hashlib
import importlib.metadata
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from surgstream.trainer.evaluation.predictions.yardsticks import is_constant, yardsticks
from surgstream.trainer.evaluation.report.numbers import shown
from surgstream.trainer.evaluation.report.result import Compared, PublishedRow, Result, Row, Value
from surgstream.trainer.evaluation.report.warnings import OUTSIDE, warnings
from surgstream.trainer.evaluation.statistics.bootstrap import Interval, interval
from surgstream.trainer.evaluation.statistics.multiple import holm
from surgstream.trainer.evaluation.statistics.paired import Comparison, compare
from surgstream.trainer.evaluation.statistics.seeds import mean_of_seeds, over_seeds
from surgstream.trainer.evaluation.statistics.units import Units, units_of
from surgstream.trainer.evaluation.tasks.config import TaskConfig

TOO_SMALL = "n too small"

_LEVEL = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """The predictions of a model for the videos that are asked for.

    Attributes:
        name: Its name.
        seeds: For each seed that it was trained with, its videos, all in the order of their ids; at least one.
        told: Sentences about what does not count.
        files: The SHA-256 of each file, by its name.
        about: What made the predictions.
    """

    name: str
    seeds: tuple[Videos, ...]
    told: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


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


class Scorer:
    """Computes the metrics of a task for models over the same videos."""

    def __init__(self, task: TaskConfig, space: LabelSpace, videos: Videos) -> None:
        """Set the task.

        Args:
            task: The task.
            space: What labels there are.
            videos: The videos of any model.
        """
        self._task = task
        self._space = space
        self.metrics: dict[str, Metric] = {name: find_metric(name) for name in task.metrics}
        groups = {video.video: video.group for video in videos}
        self.units: Units = units_of(groups, task.name, task.version)

    def statistics(self, name: str, seeds: Sequence[Videos]) -> list[Statistic]:
        """A metric of each seed; none where it needs scores, and labels alone were predicted."""
        metric = self.metrics[name]
        if metric.needs == "scores" and any(
            video.scores is None for videos in seeds for video in videos
        ):
            return []
        return [metric.compute(videos, self._space) for videos in seeds]

    def row(self, model: Model, kind: Any = "model") -> Row:
        """All metrics of a model with their intervals, and those of each video."""
        values = {}
        per_video: dict[str, dict[str, float]] = {}
        for name in self.metrics:
            found = self.statistics(name, model.seeds)
            if not found:
                continue

            values[name] = self._value(found)
            each = mean_of_seeds(found).per_video
            for video, value in zip(model.seeds[0], () if each is None else each, strict=False):
                per_video.setdefault(video.video, {})[name] = float(value)

        constant = kind == "model" and all(map(is_constant, model.seeds))
        seeds = f"{len(model.seeds)} seeds" if len(model.seeds) > 1 else ""
        return Row(
            name=model.name,
            kind=kind,
            values=values,
            per_video=per_video,
            marks=tuple(filter(None, ["constant" if constant else "", seeds])),
            told=model.told,
            files=model.files,
            about=model.about,
        )

    def compared(self, model: Model, other: Model, name: str) -> Compared | None:
        """A model against another one by a metric; None where one of them has it not."""
        ours, theirs = (self.statistics(name, each.seeds) for each in (model, other))
        if not ours or not theirs:
            return None

        more_is_better = self.metrics[name].higher_is_better
        pair = (mean_of_seeds(ours), mean_of_seeds(theirs))
        found = compare(*pair, self.units, higher_is_better=more_is_better)
        parts = [found.signs.in_words] if found.signs else []
        if found.wilcoxon:
            parts.append(found.wilcoxon.in_words)
        if found.detectable is not None and math.isfinite(found.detectable):
            least = shown(found.detectable, _about(self.metrics[name]))
            parts.append(f"a difference of {least} could have been detected")
        return Compared(
            model=model.name,
            other=other.name,
            metric=name,
            difference=found.difference,
            low=found.interval.low,
            high=found.interval.high,
            p=found.wilcoxon.p if found.wilcoxon else math.nan,
            says=_verdict(found, more_is_better=more_is_better),
            sentence="; ".join(parts) or "no test: the metric has no value for a video",
        )

    def _value(self, seeds: Sequence[Statistic]) -> Value:
        first = seeds[0]
        if len(seeds) == 1:
            value = value_of(first, self.units.num_videos)
            spread = math.nan
            found = interval(first, self.units)
        else:
            over = over_seeds(seeds, self.units)
            value, spread, found = over.mean, over.sd, over.interval
        return Value(
            value=value,
            low=found.low,
            high=found.high,
            interval=_in_words(found, value),
            averaged=first.averaged,
            undefined=_undefined(seeds),
            per_class=mean_of_seeds(seeds).per_class,
            spread=spread,
        )


def _undefined(seeds: Sequence[Statistic]) -> tuple[str, ...]:
    """What is left out of a metric, and in brackets of which seeds where others leave out something else."""
    numbers: dict[str, list[str]] = {}
    for number, seed in enumerate(seeds, 1):
        for sentence in seed.undefined:
            numbers.setdefault(sentence, []).append(str(number))
    return tuple(
        sentence if len(found) == len(seeds) else f"{sentence} (seed {', '.join(found)})"
        for sentence, found in numbers.items()
    )


def _in_words(found: Interval, value: float) -> str:
    if found.method == "none":
        return "; ".join(found.notes)
    drawn = f"{found.method} interval of {found.num_draws:,} draws of {found.num_units} units"
    is_outside = value < found.low - _ROUNDING or value > found.high + _ROUNDING
    outside = [OUTSIDE] if is_outside else []
    return "; ".join([drawn, *found.notes, *outside])


def evaluate(
    task: TaskConfig,
    space: LabelSpace,
    models: Sequence[Model],
    truth: Truth,
    *,
    with_comparisons: bool = False,
    packed_by: Mapping[str, tuple[str, ...]] | None = None,
) -> Result:
    """Compute a result.

    Args:
        task: The task.
        space: What labels it has.
        models: The models, over the same videos; at least one.
        truth: The labels.
        with_comparisons: Compare every other model with the first one.
        packed_by: Presets that pack some of the videos for pretraining.
    """
    videos = models[0].seeds[0]
    scorer = Scorer(task, space, videos)
    rows = [scorer.row(model) for model in models]

    made = yardsticks(truth.train, {video.video: video for video in videos}, space)
    for name, predicted in made.items():
        rows.append(scorer.row(Model(name=name, seeds=(predicted,)), kind="yardstick"))

    names = "\n".join(video.video for video in videos)
    return Result(
        task=task.name,
        version=task.version,
        title=task.title,
        split=truth.split,
        main=task.main,
        metrics={name: _about(metric) for name, metric in scorer.metrics.items()},
        num_videos=len(videos),
        num_rows=sum(video.num_rows for video in videos),
        num_groups=len({video.group for video in videos}),
        videos_sha256=hashlib.sha256(names.encode()).hexdigest(),
        labels=truth.where,
        labels_sha256=truth.sha256,
        rows=tuple(rows),
        comparisons=tuple(_comparisons(scorer, models)) if with_comparisons else (),
        published=tuple(_published(task)),
        caveats=task.caveats,
        packed_by=dict(packed_by or {}),
        notes=task.notes,
        warnings=tuple(
            warnings(rows, scorer.units, truth.split, has_train=truth.train is not None)
        ),
        versions={name: importlib.metadata.version(name) for name in ("surgstream", "numpy")},
    )


def _published(task: TaskConfig) -> Iterator[PublishedRow]:
    for row in task.published:
        yield PublishedRow(
            model=row.model,
            source=row.source,
            protocol=row.protocol,
            values=row.values,
            caveats=row.caveats,
        )


def _about(metric: Metric) -> dict[str, Any]:
    return {
        "title": metric.title,
        "percent": metric.percent,
        "higher_is_better": metric.higher_is_better,
    }


def _comparisons(scorer: Scorer, models: Sequence[Model]) -> list[Compared]:
    """Every other model against the first, by all metrics; corrected for the number of models, metric by metric."""
    first, *others = models
    found = []
    for name in scorer.metrics:
        pairs = [scorer.compared(model, first, name) for model in others]
        known = [pair for pair in pairs if pair is not None]
        corrected = holm({pair.model: pair.p for pair in known if math.isfinite(pair.p)})
        found += [_judged(pair, corrected.get(pair.model)) for pair in known]
    return found


def _verdict(found: Comparison, *, more_is_better: bool) -> str:
    """What a comparison says if its p, or without a test its interval, is beyond chance."""
    if found.wilcoxon and found.wilcoxon.is_too_small:
        return TOO_SMALL
    is_better = (found.difference > 0) == more_is_better
    if found.signs:
        for_it, against_it = found.signs.better, found.signs.worse
        if (for_it < against_it) if is_better else (for_it > against_it):
            return "the mean and most videos disagree"
    return "better" if is_better else "worse"


def _judged(pair: Compared, p: float | None) -> Compared:
    """The comparison with the corrected p, and what is left of its verdict."""
    is_found = pair.low > 0 or pair.high < 0 if p is None else p <= _LEVEL
    says = pair.says if is_found or pair.says == TOO_SMALL else "no difference found"
    return dataclasses.replace(pair, p=math.nan if p is None else p, says=says)
