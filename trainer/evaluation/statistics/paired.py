"""Two models on the same videos: the difference between them, and how much of it other videos would have shown."""

import math
from dataclasses import dataclass

import numpy as np

from surgstream.trainer.evaluation.metrics.statistic import Floats, Statistic, nan_mean, value_of
from surgstream.trainer.evaluation.statistics.bootstrap import Interval, draw, interval_of
from surgstream.trainer.evaluation.statistics.tests import (
    Alternative,
    SignedRank,
    normal_quantile,
    signed_rank,
)
from surgstream.trainer.evaluation.statistics.units import Units

LEVEL = 0.05
POWER = 0.8
DECIMALS = 12
"""Differences of metrics are rounded to these: 0.3 - 0.2 and 0.2 - 0.1 are ties."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """On how many units the first of two models is better.

    Attributes:
        better: Units where it is.
        worse: Units where the second is.
        equal: Units where neither is.
        noun: What a unit is, as `video`.
    """

    better: int
    worse: int
    equal: int
    noun: str

    @property
    def in_words(self) -> str:
        """As `better on 31 of 35 videos, equal on 1`."""
        total = self.better + self.worse + self.equal
        told = f"better on {self.better} of {total} {self.noun}s"
        return f"{told}, equal on {self.equal}" if self.equal else told


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first of two models against the second.

    Attributes:
        difference: Of the metric over all videos: the first's less the second's.
        interval: Its interval, from the same draws of videos for both.
        share_below_zero: Of draws in which the difference is defined, those in which it is below 0; NaN without any.
        signs: Units on which the first is better; None where the metric has no value for a video.
        wilcoxon: Wilcoxon's signed-rank test of the units' differences; None like the signs.
        detectable: The least difference that so many units detect, by `detectable_difference`; None like the signs.
    """

    difference: float
    interval: Interval
    share_below_zero: float
    signs: Signs | None
    wilcoxon: SignedRank | None
    detectable: float | None


def compare(
    first: Statistic,
    second: Statistic,
    units: Units,
    *,
    higher_is_better: bool = True,
    alternative: Alternative = "two-sided",
) -> Comparison:
    """Compare two models by a metric over the same videos.

    Args:
        first: The metric of the first model.
        second: The same metric of the second.
        units: The units of their videos.
        higher_is_better: Whether more of the metric is better, as of accuracy; not so of errors.
        alternative: `greater`, that the first is better, only where that was decided before looking.
    """
    both = difference_of(first, second)
    values = draw(both, units)
    defined = np.round(values[np.isfinite(values)], DECIMALS)

    differences = unit_differences(both, units)
    better = differences if higher_is_better else -differences
    known = len(differences) > 0

    return Comparison(
        difference=value_of(both, units.num_videos),
        interval=interval_of(values, both, units),
        share_below_zero=float((defined < 0).mean()) if len(defined) else math.nan,
        signs=_signs(better, units.noun) if known else None,
        wilcoxon=signed_rank(better, alternative) if known else None,
        detectable=detectable_difference(differences) if known else None,
    )


def difference_of(first: Statistic, second: Statistic) -> Statistic:
    """The difference between two models as a metric of its own: undefined where one of them is."""
    ours = first.per_video
    theirs = second.per_video
    return Statistic(
        at=lambda weights: first.at(weights) - second.at(weights),
        per_video=None if ours is None or theirs is None else ours - theirs,
        averaged=first.averaged,
        num_draws_at_most=min(first.num_draws_at_most, second.num_draws_at_most),
    )


def unit_differences(difference: Statistic, units: Units) -> Floats:
    """The mean difference within each unit.

    Returns:
        (n,), of the units with a video on which both models have a value; none where the metric has no value for a
        video. Videos of a group are one number, since they are not independent.
    """
    if difference.per_video is None:
        return np.empty(0)

    of_unit = np.arange(units.count)[:, None] == units.of_video
    means = nan_mean(np.where(of_unit, difference.per_video, np.nan))
    return np.round(means[np.isfinite(means)], DECIMALS)


def detectable_difference(differences: Floats) -> float:
    """The least true difference that a test at 5 %, two-sided, finds in 80 % of studies of so many units.

    (z_.975 + z_.8) sd / sqrt(n), by the normal approximation, with the sd of what was seen.

    Args:
        differences: (n,), of independent units.

    Returns:
        The difference; NaN of one unit, whose sd nobody knows.
    """
    num = len(differences)
    if num < 2:
        return math.nan

    quantiles = normal_quantile(1 - LEVEL / 2) + normal_quantile(POWER)
    return quantiles * float(differences.std(ddof=1)) / math.sqrt(num)


def _signs(better: Floats, noun: str) -> Signs:
    return Signs(
        better=int((better > 0).sum()),
        worse=int((better < 0).sum()),
        equal=int((better == 0).sum()),
        noun=noun,
    )
