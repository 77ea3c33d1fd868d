"""Two models on the same videos."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from surgstream.trainer.evaluation.statistics.bootstrap import interval
from surgstream.trainer.evaluation.statistics.paired import (
    compare,
    detectable_difference,
    difference_of,
    unit_differences,
)
from tests.trainer.evaluation.statistics.made import grouped, mean_of, normals, units

HARD = 0.2 * normals(30, seed=1)
"""How hard videos are: common to both models."""
FIRST = mean_of(HARD + 0.02 * normals(30, seed=2) + 0.01)
SECOND = mean_of(HARD + 0.02 * normals(30, seed=3))


def test_the_paired_difference_is_the_difference_of_the_values() -> None:
    found = compare(FIRST, SECOND, units(30))
    assert found.difference == pytest.approx(value_of(FIRST, 30) - value_of(SECOND, 30), rel=1e-12)


def test_common_difficulty_cancels_in_the_interval() -> None:
    """The difference of each video has an sd of 0.02 sqrt(2), where each model's has one of 0.2."""
    found = compare(FIRST, SECOND, units(30)).interval
    alone = interval(FIRST, units(30))
    assert found.high - found.low == pytest.approx(4 * 0.02 * math.sqrt(2 / 30), rel=0.3)
    assert alone.high - alone.low > 5 * (found.high - found.low)


def test_the_difference_of_two_means_has_the_interval_of_the_mean_difference() -> None:
    assert FIRST.per_video is not None and SECOND.per_video is not None
    found = compare(FIRST, SECOND, units(30)).interval
    expected = interval(mean_of(FIRST.per_video - SECOND.per_video), units(30))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_turned_around_everything_has_the_other_sign() -> None:
    one = compare(FIRST, SECOND, units(30))
    other = compare(SECOND, FIRST, units(30))
    assert other.difference == -one.difference
    assert (other.interval.low, other.interval.high) == pytest.approx(
        (-one.interval.high, -one.interval.low), rel=1e-6
    )
    assert other.share_below_zero == pytest.approx(1 - one.share_below_zero)
    assert one.signs and other.signs and one.wilcoxon and other.wilcoxon
    assert (other.signs.better, other.signs.worse) == (one.signs.worse, one.signs.better)
    assert other.wilcoxon.p == pytest.approx(one.wilcoxon.p)
    assert other.detectable == one.detectable


def test_a_model_against_itself_differs_in_nothing() -> None:
    found = compare(FIRST, FIRST, units(30))
    assert (found.difference, found.interval.low, found.interval.high) == (0, 0, 0)
    assert found.share_below_zero == 0
    assert found.wilcoxon and found.wilcoxon.p == 1
    assert found.signs and found.signs.equal == 30


def test_differences_that_only_floating_point_tells_apart_are_ties() -> None:
    """0.2 - 0.1 is larger than 0.3 - 0.2 by a bit: of ranks 1 and 2, a sum of 2 or more would have p = 1/2."""
    found = compare(
        mean_of(np.array([0.2, 0.2])),
        mean_of(np.array([0.1, 0.3])),
        units(2),
        alternative="greater",
    )
    # Of ranks 1.5 and 1.5, three sums of 0, 1.5, 1.5 and 3 are as large as 1.5
    assert found.wilcoxon and found.wilcoxon.p == 3 / 4


def test_signs_in_words_and_wilcoxon_with_a_video_that_is_equal_and_two_undefined_ones() -> None:
    first = np.array([0.3, 0.2, 0.5, 0.4, np.nan, 0.9])
    second = np.array([0.2, 0.1, 0.7, 0.4, 0.3, np.nan])
    found = compare(mean_of(first), mean_of(second), units(6))
    assert found.signs and found.wilcoxon
    assert found.signs.in_words == "better on 2 of 4 videos, equal on 1"
    # Ranks 1, 2.5, 2.5 and 4: of eight sums, 0, 2.5, 2.5, 4, 5, 6.5, 6.5, 9, it is 5
    assert found.wilcoxon.p == 1.0
    assert found.wilcoxon.num == 4


def test_of_errors_less_is_better() -> None:
    fewer = mean_of(np.array([1.0, 2.0, 3.0]))
    more = mean_of(np.array([1.5, 2.7, 3.9]))
    found = compare(fewer, more, units(3), higher_is_better=False, alternative="greater")
    assert found.signs and found.wilcoxon
    assert found.difference == pytest.approx(-0.7)
    assert found.signs.in_words == "better on 3 of 3 videos"
    assert found.wilcoxon.p == 1 / 8
    assert found.wilcoxon.is_too_small


def test_wilcoxon_is_scipys_of_the_differences() -> None:
    assert FIRST.per_video is not None and SECOND.per_video is not None
    found = compare(FIRST, SECOND, units(30)).wilcoxon
    theirs = scipy.stats.wilcoxon(FIRST.per_video - SECOND.per_video, method="exact")
    assert found and found.p == pytest.approx(theirs.pvalue)


def test_videos_of_a_group_are_one_number() -> None:
    first = mean_of(np.array([1.0, 3.0, 5.0, np.nan, np.nan, np.nan]))
    second = mean_of(np.zeros(6))
    found = unit_differences(difference_of(first, second), grouped(6, size=2))
    assert found.tolist() == [2.0, 5.0]

    against = compare(first, second, grouped(6, size=2))
    assert against.signs and against.wilcoxon
    assert against.signs.in_words == "better on 2 of 2 groups"
    assert against.wilcoxon.num == 2


def test_the_share_of_draws_below_zero_is_of_those_in_which_both_are_defined() -> None:
    """One video of ten decides, and the first model is worse on it: all draws that hold it are below 0."""
    first = mean_of(np.array([0.1, *[np.nan] * 9]))
    second = mean_of(np.array([0.2, *[np.nan] * 9]))
    found = compare(first, second, units(10))
    assert found.share_below_zero == 1
    assert found.interval.num_undefined > 0


@pytest.mark.parametrize("first", [FIRST, replace(FIRST, per_video=None)])
def test_a_metric_without_values_of_videos_has_a_difference_and_no_tests(first: Statistic) -> None:
    second = replace(SECOND, per_video=None)
    found = compare(first, second, units(30))
    assert (found.signs, found.wilcoxon, found.detectable) == (None, None, None)
    assert found.interval == compare(FIRST, SECOND, units(30)).interval


def test_a_metric_that_is_undefined_has_no_share_and_no_tests() -> None:
    nothing = mean_of(np.full(12, np.nan))
    found = compare(nothing, nothing, units(12))
    assert math.isnan(found.difference) and math.isnan(found.share_below_zero)
    assert found.interval.method == "none"
    assert (found.signs, found.wilcoxon, found.detectable) == (None, None, None)


def test_the_draws_are_as_few_as_the_one_with_fewer_has() -> None:
    few = replace(SECOND, num_draws_at_most=100)
    assert compare(FIRST, few, units(30)).interval.num_draws == 100
    assert compare(few, FIRST, units(30)).interval.num_draws == 100


def test_the_detectable_difference_is_found_in_80_percent_of_studies() -> None:
    """Studies whose differences are that large on average, at a known sd of 1, by a z-test at 5 %."""
    spread = np.resize([-1.0, 1.0], 40)
    least = detectable_difference(spread)
    assert least == pytest.approx(2.8016 * spread.std(ddof=1) / math.sqrt(40), rel=1e-4)

    sd = spread.std(ddof=1)
    z = [
        (least + sd * normals(40, seed=study).mean()) / (sd / math.sqrt(40))
        for study in range(1000)
    ]
    assert np.mean(np.abs(z) > 1.959964) == pytest.approx(0.8, abs=0.03)


def test_of_one_video_nobody_knows_what_it_could_detect() -> None:
    assert math.isnan(detectable_difference(np.array([0.1])))
