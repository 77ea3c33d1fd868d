"""Repeated cross-validation: folds share training videos, so their spread alone says too little."""

import math
from dataclasses import dataclass

from surgstream.trainer.evaluation.metrics.statistic import Floats
from surgstream.trainer.evaluation.statistics.bootstrap import LEVEL, Interval
from surgstream.trainer.evaluation.statistics.tests import t_quantile


@dataclass(frozen=True, kw_only=True)
class OverFolds:
    """A metric, or a difference of two models, over folds.

    Attributes:
        mean: Over folds.
        sd: Over folds; NaN of one.
        variance: Of the mean, corrected; NaN of one fold.
        interval: Of the mean, by Student's t.
    """

    mean: float
    sd: float
    variance: float
    interval: Interval


def nadeau_bengio(
    values: Floats, num_train: float, num_test: float, level: float = LEVEL
) -> OverFolds:
    """Sum up folds with the corrected variance of Nadeau and Bengio (2003).

    (1 / k + n_test / n_train) s^2, s^2 with k - 1 in its denominator, where s^2 / k would take the k folds for
    independent.

    Args:
        values: (k,), the metric of each fold of each repetition, or the difference of two models there.
        num_train: Independent videos or groups that a fold trains on, the mean over folds where they differ.
        num_test: Those that it tests on.
        level: How often the interval should hold the true value.
    """
    num = len(values)
    mean = float(values.mean())
    if num == 1:
        nothing = Interval(
            low=math.nan,
            high=math.nan,
            level=level,
            method="none",
            num_units=1,
            notes=("one fold: no interval",),
        )
        return OverFolds(mean=mean, sd=math.nan, variance=math.nan, interval=nothing)

    sd = float(values.std(ddof=1))
    variance = (1 / num + num_test / num_train) * sd**2
    half = t_quantile((1 + level) / 2, num - 1) * math.sqrt(variance)

    found = Interval(
        low=mean - half, high=mean + half, level=level, method="corrected_t", num_units=num
    )
    return OverFolds(mean=mean, sd=sd, variance=variance, interval=found)
