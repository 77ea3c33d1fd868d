"""Wilcoxon's test against SciPy's and against all signs, one by one; quantiles and ranks against SciPy's."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.statistics.tests import (
    Alternative,
    normal_quantile,
    normal_share,
    signed_rank,
    t_quantile,
)
from tests.trainer.evaluation.statistics.made import normals

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater")
WHOLE = st.lists(st.integers(-4, 4), min_size=1, max_size=8)


def enumerated(differences: list[int], alternative: Alternative, zeros: str) -> float:
    """The share of all signs of the differences whose sum of positive ranks is as large, or as far from the middle.

    Zeros have no sign. Their ranks are left out (`pratt`) or split in halves between the two sums (`zsplit`).
    """
    sizes = sorted(abs(one) for one in differences)
    rank = {
        size: float(np.mean([i + 1 for i, one in enumerate(sizes) if one == size]))
        for size in sizes
    }
    num_zeros = differences.count(0)
    extra = num_zeros * rank[0] / 2 if num_zeros and zeros == "zsplit" else 0.0
    nonzero = [one for one in differences if one]

    def total(signs: tuple[int, ...]) -> float:
        return extra + sum(
            rank[abs(one)] for one, sign in zip(nonzero, signs, strict=True) if sign > 0
        )

    found = total(tuple(nonzero))
    sums = [total(signs) for signs in itertools.product((-1, 1), repeat=len(nonzero))]
    above = sum(one >= found for one in sums) / len(sums)
    below = sum(one <= found for one in sums) / len(sums)
    return above if alternative == "greater" else min(1.0, 2 * min(above, below))


@given(differences=WHOLE, alternative=st.sampled_from(ALTERNATIVES))
def test_p_is_that_of_all_signs_with_ties_and_zeros_whichever_way_zeros_are_ranked(
    differences: list[int], alternative: Alternative
) -> None:
    found = signed_rank(np.array(differences, float), alternative).p
    assert found == pytest.approx(enumerated(differences, alternative, "pratt"), rel=1e-12)
    assert found == pytest.approx(enumerated(differences, alternative, "zsplit"), rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("num", [1, 2, 5, 8, 25, 80])
def test_p_is_scipys_exact_one_without_ties(num: int, alternative: Alternative) -> None:
    differences = normals(num, seed=num) + 0.2
    theirs = scipy.stats.wilcoxon(differences, method="exact", alternative=alternative)
    assert signed_rank(differences, alternative).p == pytest.approx(theirs.pvalue, rel=1e-10)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", ["pratt", "zsplit"])
def test_p_is_scipys_of_all_permutations_with_ties_and_zeros(
    zeros: str, alternative: Alternative
) -> None:
    differences = np.array([0, 0, 1, 1, -1, 2, 3, 3, -2, 5.0])
    theirs = scipy.stats.wilcoxon(differences, zero_method=zeros, alternative=alternative)
    assert signed_rank(differences, alternative).p == pytest.approx(theirs.pvalue, rel=1e-10)


def test_scipys_exact_p_is_another_with_zeros() -> None:
    """Why ours is our own: SciPy's `exact` takes ranks for 1 to n, of which none is tied or left out."""
    differences = np.array([0, 0, 0, 1, 2, 3, 4, 5.0])
    theirs = scipy.stats.wilcoxon(differences, zero_method="pratt", method="exact")
    assert signed_rank(differences).p == 2 / 2**5
    assert theirs.pvalue != pytest.approx(2 / 2**5, rel=0.1)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_beyond_500_differences_p_is_an_approximation_near_the_exact_one(
    alternative: Alternative,
) -> None:
    exact = signed_rank(normals(500, seed=1) + 0.08, alternative)
    approximate = signed_rank(np.append(normals(500, seed=1) + 0.08, 1e-9), alternative)
    assert exact.exact and not approximate.exact
    assert approximate.p == pytest.approx(exact.p, rel=0.05)


@pytest.mark.parametrize("num", [3, 600])
def test_equal_models_have_p_1(num: int) -> None:
    found = signed_rank(np.zeros(num))
    assert (found.p, found.exact) == (1, True)


@pytest.mark.parametrize("num", range(1, 13))
def test_the_floor_is_what_differences_of_one_sign_reach(num: int) -> None:
    both_ways, one_way = (signed_rank(np.arange(1.0, num + 1), way) for way in ALTERNATIVES)
    assert both_ways.p == both_ways.floor == 2.0 ** (1 - num)
    assert one_way.p == one_way.floor == 2.0**-num


@given(differences=WHOLE, alternative=st.sampled_from(ALTERNATIVES))
def test_no_p_is_below_the_floor(differences: list[int], alternative: Alternative) -> None:
    found = signed_rank(np.array(differences, float), alternative)
    assert found.floor <= found.p <= 1


def test_five_videos_are_too_few_either_way_and_enough_one_way() -> None:
    too_small = {
        (num, alternative)
        for num in range(1, 10)
        for alternative in ALTERNATIVES
        if signed_rank(np.ones(num), alternative).is_too_small
    }
    both = {(num, alternative) for num in range(1, 5) for alternative in ALTERNATIVES}
    assert too_small == {*both, (5, "two-sided")}


def test_words_have_the_floor_with_every_p() -> None:
    enough = signed_rank(np.arange(1.0, 9))
    assert enough.in_words == "p = 0.0078 (two-sided; of 8 at least 0.0078)"
    few = signed_rank(np.array([1.0, -2.0, 3.0]), "greater")
    assert few.in_words == "p = 0.38 (greater; of 3 at least 0.12), n too small"


@given(share=st.floats(0.001, 0.999))
def test_normal_quantiles_are_scipys(share: float) -> None:
    assert normal_quantile(share) == pytest.approx(scipy.special.ndtri(share), rel=1e-12)
    assert normal_share(normal_quantile(share)) == pytest.approx(share)


def test_quantiles_are_those_of_printed_tables() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert [t_quantile(0.975, freedom) for freedom in (1, 4, 9)] == pytest.approx(
        [12.706, 2.776, 2.262], abs=1e-3
    )
    assert (normal_quantile(0), normal_quantile(1)) == (-np.inf, np.inf)


@given(number=st.floats(-38, 38))
def test_shares_below_are_scipys_in_both_tails(number: float) -> None:
    assert normal_share(number) == pytest.approx(scipy.special.ndtr(number), rel=1e-12)
