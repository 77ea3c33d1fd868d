"""A metric's entry in the catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, TaskKind, Videos
from surgstream.trainer.evaluation.metrics.statistic import Statistic

Needs = Literal["labels", "scores"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric is called and computed. Its id, as `phase_jaccard`, stands in tasks and results.

    Attributes:
        title: Its name for people, such as `Jaccard index, phases over videos`.
        kinds: The kinds of labels that it is for.
        needs: `scores` where predicted labels are not enough.
        percent: Whether people print it times 100.
        higher_is_better: Whether more is better; less is, of errors.
        compute: From videos and what labels there are to the metric.
    """

    title: str
    kinds: tuple[TaskKind, ...]
    needs: Needs = "labels"
    percent: bool = True
    higher_is_better: bool = True
    compute: Callable[[Videos, LabelSpace], Statistic]
