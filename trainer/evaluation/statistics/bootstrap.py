"""The cluster bootstrap: how far off a metric may be, had other videos of the same kind been the test videos.

Whole videos are drawn, and with them all videos of their group: frames of a video are alike, and so are a surgeon's
videos. Each draw computes the whole metric anew, so that what is undefined in it is left out of it as in the value.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from surgstream.trainer.evaluation.metrics.statistic import Floats, Statistic, value_of
from surgstream.trainer.evaluation.statistics.tests import normal_quantile, normal_share
from surgstream.trainer.evaluation.statistics.units import Units

Method = Literal["percentile", "bca", "corrected_t", "none"]

LEVEL = 0.95
UNITS_FOR_BCA = 20
FEW_UNITS = 10


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Its lower end; NaN where there is no interval.
        high: Its upper end.
        level: How often such intervals hold the true value, such as 0.95.
        method: How it was made.
        num_units: The independent videos, groups or folds that it is from.
        num_draws: Draws of the bootstrap, with those in which the metric is undefined.
        num_undefined: Those, which are left out.
        notes: What a reader should know, in words, such as `one video: no interval`.
    """

    low: float
    high: float
    level: float
    method: Method
    num_units: int
    num_draws: int = 0
    num_undefined: int = 0
    notes: tuple[str, ...] = ()


def interval(statistic: Statistic, units: Units, level: float = LEVEL) -> Interval:
    """The interval of a metric.

    BCa (Efron 1987) from 20 units on; percentiles of fewer, and where its two numbers are not finite. Equations in this
    module are those of Efron and Tibshirani, An Introduction to the Bootstrap, 1993.

    Args:
        statistic: The metric over the videos.
        units: Their units.
        level: How often the interval should hold the true value.
    """
    return interval_of(draw(statistic, units), statistic, units, level)


def interval_of(
    values: Floats, statistic: Statistic, units: Units, level: float = LEVEL
) -> Interval:
    """The interval of a metric whose `values` (D,) in all draws are known; the rest is as in `interval`."""
    if units.count < UNITS_FOR_BCA or not np.isfinite(values).any():
        return percentile_interval(values, units, level)

    bias = _bias(values, value_of(statistic, units.num_videos))
    acceleration = _acceleration(statistic, units)
    for name, number in (("bias", bias), ("acceleration", acceleration)):
        if not math.isfinite(number):
            note = f"percentiles, not BCa, as its {name} is not finite"
            return percentile_interval(values, units, level, note)

    low, high = (_bca_share(share, bias, acceleration) for share in _shares(level))
    return _between(values, units, level, "bca", (low, high))


def percentile_interval(values: Floats, units: Units, level: float, *notes: str) -> Interval:
    """The percentiles of a metric's `values` (D,) in all draws, without any correction."""
    return _between(values, units, level, "percentile", _shares(level), notes)


def draw(statistic: Statistic, units: Units) -> Floats:
    """The metric in all draws: (D,), NaN where it is undefined."""
    # One unit's draws are all the same
    num_draws = statistic.num_draws_at_most if units.count > 1 else 1
    found = [statistic.at(weights) for weights in units.draws(num_draws)]
    return np.concatenate(found)


def _between(
    values: Floats,
    units: Units,
    level: float,
    method: Method,
    shares: tuple[float, float],
    notes: tuple[str, ...] = (),
) -> Interval:
    """What lies between two quantiles of the draws; no interval of one unit, or where all draws are undefined."""
    defined = values[np.isfinite(values)]
    num_undefined = len(values) - len(defined)

    if num_undefined:
        notes += (f"undefined in {num_undefined:,} of {len(values):,} draws, which are left out",)
    if units.count == 1:
        notes = (f"{units.counted(1)}: no interval",)
    elif units.count < FEW_UNITS:
        notes += (f"{units.counted(units.count)}: an interval of so few is too narrow",)

    exists = units.count > 1 and len(defined) > 0
    low, high = np.quantile(defined, shares).tolist() if exists else (math.nan, math.nan)
    return Interval(
        low=low,
        high=high,
        level=level,
        method=method if exists else "none",
        num_units=units.count,
        num_draws=len(values),
        num_undefined=num_undefined,
        notes=notes,
    )


def _shares(level: float) -> tuple[float, float]:
    """The shares of draws below the two ends of an interval."""
    return (1 - level) / 2, (1 + level) / 2


def _bias(values: Floats, value: float) -> float:
    """The share of draws below the value, those equal to it counted half, as z0 = Phi^-1(share) (1993, 14.14)."""
    defined = values[np.isfinite(values)]
    below = (defined < value).mean() + (defined == value).mean() / 2
    return normal_quantile(float(below))


def _acceleration(statistic: Statistic, units: Units) -> float:
    """Of the jackknife over units: a = sum d^3 / (6 (sum d^2)^(3/2)), d = mean - value without one (1993, 14.15)."""
    without_one = statistic.at(units.without_one())
    difference = without_one.mean() - without_one

    spread = float((difference**2).sum()) ** 1.5
    return float((difference**3).sum()) / (6 * spread) if spread > 0 else math.nan


def _bca_share(share: float, bias: float, acceleration: float) -> float:
    """Where an end lies among the draws: Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = Phi^-1(share) (1993, 14.10)."""
    moved = bias + normal_quantile(share)
    return normal_share(bias + moved / (1 - acceleration * moved))
