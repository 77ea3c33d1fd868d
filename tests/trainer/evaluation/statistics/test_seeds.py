"""Several seeds of a model, which are no further videos."""

import math
from dataclasses import replace

import numpy as np
import pytest

from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from surgstream.trainer.evaluation.statistics.bootstrap import draw, percentile_interval
from surgstream.trainer.evaluation.statistics.paired import compare
from surgstream.trainer.evaluation.statistics.seeds import draw_seeds, mean_of_seeds, over_seeds
from tests.trainer.evaluation.statistics.made import mean_of, normals, units

VIDEOS = 0.1 * normals(12, seed=1)
SEEDS = [mean_of(VIDEOS + 0.05 * normals(1, seed=seed)) for seed in (2, 3, 4)]
"""Each seed is better or worse than the others on all videos alike."""


def width(seeds: list[Statistic]) -> float:
    found = over_seeds(seeds, units(12)).interval
    return found.high - found.low


def test_mean_and_sd_are_over_seeds_not_videos() -> None:
    found = over_seeds(SEEDS, units(12))
    values = [value_of(seed, 12) for seed in SEEDS]
    assert found.mean == pytest.approx(sum(values) / 3)
    assert found.sd**2 == pytest.approx(sum((one - found.mean) ** 2 for one in values) / 2)
    assert found.num_seeds == 3
    assert found.interval.num_units == 12


@pytest.mark.parametrize("times", [2, 10])
def test_an_interval_does_not_shrink_by_copying_a_seed(times: int) -> None:
    once = over_seeds(SEEDS[:1], units(12)).interval
    copied = over_seeds(SEEDS[:1] * times, units(12)).interval
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.num_units == once.num_units == 12


def test_one_seed_has_the_interval_of_its_videos_and_no_sd() -> None:
    found = over_seeds(SEEDS[:1], units(12))
    expected = percentile_interval(draw(SEEDS[0], units(12)), units(12), 0.95)
    assert found.interval == expected
    assert math.isnan(found.sd)


def test_seeds_that_differ_widen_the_interval() -> None:
    far_apart = [mean_of(VIDEOS + shift) for shift in (-0.2, 0.0, 0.2)]
    assert width(far_apart) > 2 * width([mean_of(VIDEOS)] * 3)


def test_a_draw_has_the_same_videos_for_each_seed_that_it_holds() -> None:
    """Seeds a and a + 1: what a draw has above the videos' mean is the share of the second seed."""
    first = mean_of(VIDEOS, num_draws=400)
    second = mean_of(VIDEOS + 1, num_draws=400)
    above = draw_seeds([first, second], units(12)) - draw(first, units(12))

    shares, counts = np.unique(above.round(9), return_counts=True)
    assert shares.tolist() == [0, 0.5, 1]
    # A quarter, a half and a quarter of 400 draws, at four standard deviations
    assert counts == pytest.approx([100, 200, 100], abs=40)


def test_golden_interval() -> None:
    found = over_seeds(SEEDS, units(12)).interval
    assert (found.low, found.high) == pytest.approx((-0.0630112319609, 0.0551562619663))


def test_a_draw_is_undefined_only_with_a_seed_that_is() -> None:
    nothing = mean_of(np.full(12, np.nan))
    found = over_seeds([SEEDS[0], nothing], units(12)).interval
    assert found.num_undefined / found.num_draws == pytest.approx(0.75, abs=0.02)


def test_the_mean_of_seeds_is_compared_like_a_model() -> None:
    both = mean_of_seeds(SEEDS[:2])
    assert value_of(both, 12) == pytest.approx(over_seeds(SEEDS[:2], units(12)).mean)
    assert both.averaged == "videos, 2 seeds"

    found = compare(both, SEEDS[2], units(12))
    assert found.difference == pytest.approx(value_of(both, 12) - value_of(SEEDS[2], 12))
    assert found.wilcoxon and found.wilcoxon.num == 12

    without = [SEEDS[0], replace(SEEDS[1], per_video=None)]
    assert mean_of_seeds(without).per_video is None


def test_the_draws_are_as_few_as_the_seed_with_the_fewest_has() -> None:
    few = [SEEDS[0], replace(SEEDS[1], num_draws_at_most=70)]
    assert over_seeds(few, units(12)).interval.num_draws == 70
    assert mean_of_seeds(few).num_draws_at_most == 70
