"""A task's metrics of a model, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from surgstream.trainer.evaluation.metrics.confusion import confusions
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from surgstream.trainer.evaluation.parts import scopes_of
from surgstream.trainer.evaluation.predictions.yardsticks import is_constant
from surgstream.trainer.evaluation.report.result import Row, RowKind, Value
from surgstream.trainer.evaluation.report.warnings import OUTSIDE
from surgstream.trainer.evaluation.statistics.bootstrap import Interval, interval
from surgstream.trainer.evaluation.statistics.seeds import mean_of_seeds, over_seeds
from surgstream.trainer.evaluation.statistics.units import Units, units_of
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.plausible import impossible
from surgstream.trainer.lineage.verdict import LeakMark

ALWAYS_THE_SAME = "constant"
"""The mark of a model that predicts the same for every row."""

IMPOSSIBLE = "impossible values"
"""The mark of values that no predictions can have."""

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
        leaks: Which of the videos it was trained on, as far as that is known; None where nobody asked.
    """

    name: str
    seeds: tuple[Videos, ...]
    told: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    leaks: LeakMark | None = None


class Scorer:
    """Computes the metrics of a task, over all videos and over parts of them, for models over the same videos.

    Attributes:
        metrics: The metrics by id, those of parts among them.
        units: What is independent of each other among all videos.
    """

    def __init__(self, task: TaskConfig, space: LabelSpace, videos: Videos) -> None:
        """Set the task.

        Args:
            task: The task.
            space: What labels there are.
            videos: The videos of any model.
        """
        self._task = task
        self._space = space
        groups = {video.video: video.group for video in videos}
        self.units: Units = units_of(groups, task.name, task.version)
        self._scopes = scopes_of(task, videos, self.units)
        self.metrics: dict[str, Metric] = {
            name: scope.metric for name, scope in self._scopes.items()
        }

    def units_of(self, name: str) -> Units:
        """What is independent of each other among the videos of a metric."""
        return self._scopes[name].units

    def statistics(self, name: str, seeds: Sequence[Videos]) -> list[Statistic]:
        """A metric of each seed; none where it needs scores, and labels alone were predicted."""
        scope = self._scopes[name]
        seeds = [scope.of(videos) for videos in seeds]
        if scope.metric.needs == "scores" and any(
            video.scores is None for videos in seeds for video in videos
        ):
            return []
        return [scope.metric.compute(videos, self._space) for videos in seeds]

    def row(self, model: Model, kind: RowKind = "model") -> Row:
        """All metrics of a model with their intervals, and those of each video."""
        values = {}
        per_video: dict[str, dict[str, float]] = {}
        for name in self.metrics:
            found = self.statistics(name, model.seeds)
            if not found:
                continue

            values[name] = self._value(found, self.units_of(name))
            if self._scopes[name].videos is not None:
                continue  # a video by itself has the same in all parts
            each = mean_of_seeds(found).per_video
            for video, value in zip(model.seeds[0], () if each is None else each, strict=False):
                per_video.setdefault(video.video, {})[name] = float(value)

        cannot_be = list(impossible({name: value.value for name, value in values.items()}))
        marks = {
            ALWAYS_THE_SAME: kind == "model" and all(map(is_constant, model.seeds)),
            f"{len(model.seeds)} seeds": len(model.seeds) > 1,
            IMPOSSIBLE: bool(cannot_be),
        }
        return Row(
            name=model.name,
            kind=kind,
            values=values,
            per_video=per_video,
            marks=tuple(mark for mark, is_true in marks.items() if is_true),
            confusion=self._confusion(model.seeds[0]),
            told=(*model.told, *cannot_be),
            files=model.files,
            about=model.about,
            leaks=model.leaks,
        )

    def _confusion(self, videos: Videos) -> tuple[tuple[int, ...], ...]:
        if self._space.kind != "class":
            return ()
        return tuple(map(tuple, confusions(videos, self._space).sum(0).tolist()))

    def _value(self, seeds: Sequence[Statistic], units: Units) -> Value:
        first = seeds[0]
        if len(seeds) == 1:
            value = value_of(first, units.num_videos)
            spread = math.nan
            found = interval(first, units)
        else:
            over = over_seeds(seeds, units)
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
            seeds=tuple(value_of(seed, units.num_videos) for seed in seeds),
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
