"""Intervals: how often they hold the truth, and that they are what textbooks and SciPy compute."""

import math
import sys
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats

from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    Weights,
    pooled,
    value_of,
)
from surgstream.trainer.evaluation.statistics.bootstrap import (
    Interval,
    draw,
    interval,
    percentile_interval,
)
from surgstream.trainer.evaluation.statistics.tests import signed_rank
from surgstream.trainer.evaluation.statistics.units import Units, units_of
from tests.trainer.evaluation.statistics.made import grouped, mean_of, names, normals, units

Make = Callable[[Statistic, Units], Interval]

SKEWED = np.exp(normals(25, seed=1))


def percentiles(statistic: Statistic, units: Units) -> Interval:
    return percentile_interval(draw(statistic, units), units, 0.95)


def width(found: Interval) -> float:
    return found.high - found.low


@pytest.mark.parametrize("make", [interval, percentiles], ids=["bca", "percentile"])
def test_a_95_percent_interval_holds_the_true_mean_of_normal_videos_as_often(make: Make) -> None:
    held = 0
    for repetition in range(200):
        statistic = mean_of(normals(30, seed=repetition), num_draws=1000)
        found = make(statistic, units(30, version=repetition))
        held += found.low <= 0 <= found.high
    assert 180 <= held <= 198


def test_an_interval_of_videos_of_a_group_that_are_alike_holds_the_truth_only_by_groups() -> None:
    """Ten surgeons of six videos, which differ by surgeon alone: by videos, an interval is sqrt(6) too narrow."""
    held = {"videos": 0, "groups": 0}
    for repetition in range(100):
        statistic = mean_of(np.repeat(normals(10, seed=repetition), 6), num_draws=500)
        for name, of in (("videos", units(60)), ("groups", grouped(60, size=6))):
            found = interval(statistic, of)
            held[name] += found.low <= 0 <= found.high
    assert held["videos"] < 70
    assert held["groups"] > 80


def test_groups_of_videos_that_are_alike_widen_the_interval_as_the_root_of_their_size() -> None:
    statistic = mean_of(np.repeat(normals(10, seed=3), 6))
    ratio = width(interval(statistic, grouped(60, size=6))) / width(interval(statistic, units(60)))
    assert ratio == pytest.approx(math.sqrt(6), rel=0.1)


@pytest.mark.parametrize(
    ("make", "method"), [(interval, "BCa"), (percentiles, "percentile")], ids=["bca", "percentile"]
)
@pytest.mark.parametrize("values", [normals(40, seed=2), SKEWED], ids=["normal", "skewed"])
def test_intervals_are_those_of_scipy(make: Make, method: str, values: Floats) -> None:
    """Of other draws: ends of 10,000 differ by some per cent of the interval's width."""
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method=method, n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = make(mean_of(values), units(len(values)))
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width(ours))
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width(ours))


def plain_bca(values: Floats, draws: list[float], level: float) -> list[float]:
    """BCa of a mean as the textbook has it, one number at a time."""
    normal = NormalDist()
    mean = sum(values) / len(values)
    below = sum(1.0 if one < mean else 0.5 if one == mean else 0.0 for one in draws)
    bias = normal.inv_cdf(below / len(draws))

    without = [(sum(values) - value) / (len(values) - 1) for value in values]
    middle = sum(without) / len(without)
    cubes = sum((middle - one) ** 3 for one in without)
    squares = sum((middle - one) ** 2 for one in without)
    acceleration = cubes / (6 * squares**1.5)

    ends = []
    for z in (normal.inv_cdf((1 - level) / 2), normal.inv_cdf((1 + level) / 2)):
        share = normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        place = share * (len(draws) - 1)
        low, high = (sorted(draws)[int(place) + step] for step in (0, 1))
        ends.append(low + (high - low) * (place - int(place)))
    return ends


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bca_is_the_textbooks(level: float) -> None:
    statistic = mean_of(SKEWED, num_draws=500)
    found = interval(statistic, units(25), level)
    assert found.method == "bca"
    expected = plain_bca(SKEWED, draw(statistic, units(25)).tolist(), level)
    assert [found.low, found.high] == pytest.approx(expected)
    # A long tail above moves both ends up
    assert found.low > percentiles(statistic, units(25)).low


def test_golden_intervals() -> None:
    videos = mean_of(normals(24, seed=5), num_draws=2000)
    found = [interval(videos, units(24)), interval(videos, grouped(24, size=3))]
    assert [one.method for one in found] == ["bca", "percentile"]
    assert [(one.low, one.high) for one in found] == [
        pytest.approx((-0.340058809413, 0.331444976757)),
        pytest.approx((-0.388571073233, 0.281331805042)),
    ]


def test_permuted_videos_have_the_same_interval() -> None:
    order = np.argsort(normals(25, seed=6))
    moved = units_of({names(25)[i]: names(25)[i] for i in order}, "made_up", 1)
    before = interval(mean_of(SKEWED), units(25))
    after = interval(mean_of(SKEWED[order]), moved)
    assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=1e-12)


def test_draws_of_counts_equal_the_metric_of_repeated_videos() -> None:
    counts = np.arange(1, 13).reshape(6, 2)

    def share(of: Floats) -> Floats:
        found: Floats = of[:, 0] / of.sum(-1)
        return found

    (weights,) = units(6).draws(50)
    expected = [
        share(np.repeat(counts, times.astype(int), axis=0).sum(0)[None]) for times in weights
    ]
    found = draw(pooled(counts, share, averaged="", num_draws_at_most=50), units(6))
    assert found == pytest.approx(np.concatenate(expected))


def test_one_video_has_no_interval() -> None:
    found = interval(mean_of(np.array([0.5])), units(1))
    assert found.method == "none"
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.notes == ("one video: no interval",)
    assert found.num_draws == 1
    assert interval(mean_of(np.ones(3)), grouped(3, size=3)).notes == ("one group: no interval",)


def test_few_videos_are_told() -> None:
    assert interval(mean_of(normals(9, seed=0)), units(9)).notes == (
        "9 videos: an interval of so few is too narrow",
    )
    assert interval(mean_of(normals(10, seed=0)), units(10)).notes == ()


def test_draws_in_which_the_metric_is_undefined_are_counted_and_left_out() -> None:
    """Of ten videos one has a class: it is in no draw with the chance .9^10."""
    statistic = mean_of(np.array([0.75, *[np.nan] * 9]))
    found = interval(statistic, units(10))
    assert (found.low, found.high) == (0.75, 0.75)
    assert found.num_draws == 10_000
    assert found.num_undefined == np.isnan(draw(statistic, units(10))).sum()
    assert found.num_undefined / 10_000 == pytest.approx(0.9**10, abs=0.02)
    assert found.notes == (
        f"undefined in {found.num_undefined:,} of 10,000 draws, which are left out",
    )


@pytest.mark.parametrize("count", [10, 30])
def test_a_metric_that_is_undefined_in_all_draws_has_no_interval(count: int) -> None:
    found = interval(mean_of(np.full(count, np.nan)), units(count))
    assert found.method == "none"
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.notes == ("undefined in 10,000 of 10,000 draws, which are left out",)


def test_what_bca_cannot_take_falls_back_to_percentiles_and_says_why() -> None:
    def least(weights: Weights) -> Floats:
        """The least number of a video; -1 of all 25 of them, which no draw holds."""
        found: Floats = np.where(weights > 0, np.arange(25), 25).min(1)
        return np.where((weights == 1).all(1), -1.0, found)

    below_all = Statistic(
        at=least,
        per_video=None,
        averaged="",
        num_draws_at_most=500,
    )
    found = interval(below_all, units(25))
    assert found.method == "percentile"
    assert found.notes == ("percentiles, not BCa, as its bias is not finite",)

    alike = interval(mean_of(np.full(25, 0.5)), units(25))
    assert alike.method == "percentile"
    assert alike.notes == ("percentiles, not BCa, as its acceleration is not finite",)
    assert (alike.low, alike.high) == (0.5, 0.5)


def test_a_metric_with_fewer_draws_has_as_many_as_it_says() -> None:
    assert interval(mean_of(SKEWED, num_draws=300), units(25)).num_draws == 300


def test_login_nodes_which_lack_scipy_have_the_same_intervals_and_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found() -> tuple[object, ...]:
        few, many = interval(mean_of(SKEWED[:19]), units(19)), interval(mean_of(SKEWED), units(25))
        return few, many, signed_rank(np.array([1.0, -2, 2, 0, 3, 3, 4]))

    expected = found()
    monkeypatch.setitem(sys.modules, "scipy", None)
    for module in [name for name in sys.modules if name.startswith("scipy.")]:
        monkeypatch.delitem(sys.modules, module)

    assert found() == expected
    with pytest.raises(ModuleNotFoundError) as caught:
        signed_rank(np.arange(1.0, 600))
    assert str(caught.value.name).partition(".")[0] == "scipy"


def test_the_interval_is_around_the_value() -> None:
    statistic = mean_of(SKEWED)
    found = interval(statistic, units(25))
    assert found.low < value_of(statistic, 25) < found.high
