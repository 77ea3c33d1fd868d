"""Tests and quantiles: the one door to SciPy, opened for what login nodes, which lack it, can do without."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.statistic import Floats

Alternative = Literal["two-sided", "greater"]
"""What is held against `no difference`: one either way; or, decided before looking, a difference above 0."""

LEVEL = 0.05
EXACT_UP_TO = 500


@dataclass(frozen=True, kw_only=True)
class SignedRank:
    """Wilcoxon's signed-rank test.

    Attributes:
        p: Its p; 1 where all differences are 0.
        floor: The least p that so many differences can give, were all of one sign.
        num: How many differences there are, n.
        alternative: What is held against no difference.
        exact: Whether p is exact; beyond 500 differences it is a normal approximation, corrected for ties and zeros.
    """

    p: float
    floor: float
    num: int
    alternative: Alternative
    exact: bool

    @property
    def is_too_small(self) -> bool:
        """Whether no result of so few could be significant at 5 %."""
        return self.floor > LEVEL

    @property
    def in_words(self) -> str:
        """Its p beside the floor, such as `p = 0.031 (two-sided; of 8 at least 0.0078)`."""
        told = f"p = {self.p:.2g} ({self.alternative}; of {self.num} at least {self.floor:.2g})"
        return f"{told}, n too small" if self.is_too_small else told


def signed_rank(differences: Floats, alternative: Alternative = "two-sided") -> SignedRank:
    """Test whether differences are symmetric about 0.

    Zeros are ranked with the others, and then have no sign (Pratt 1959): leaving them out before would make models
    that agree on most videos look as different as the rest of the videos are. Splitting their ranks in halves
    (`zsplit`) shifts the sum and its distribution alike, and gives the same p.

    SciPy's exact p is for differences without ties and zeros. This one is exact with them: the distribution of the sum
    of positive ranks over all 2^m signs of the m differences that are not 0.

    Args:
        differences: (n,), finite, of independent units; n is at least 1.
        alternative: What is held against no difference.
    """
    num = len(differences)
    exact = num <= EXACT_UP_TO or not differences.any()
    p = _exact_p(differences, alternative) if exact else _approximate_p(differences, alternative)

    sides = 2 if alternative == "two-sided" else 1
    return SignedRank(p=p, floor=sides * 0.5**num, num=num, alternative=alternative, exact=exact)


def _exact_p(differences: Floats, alternative: Alternative) -> float:
    doubled = _doubled_ranks(np.abs(differences))
    doubled[differences == 0] = 0
    found = doubled[differences > 0].sum()

    # Probability of each sum: a rank is added or not, each with 1/2
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled[doubled > 0]:
        chances[rank:] += chances[:-rank].copy()
        chances /= 2

    above = float(chances[found:].sum())
    below = float(chances[: found + 1].sum())
    return min(1.0, above if alternative == "greater" else 2 * min(above, below))


def _doubled_ranks(values: Floats) -> npt.NDArray[np.int64]:
    """Twice the rank of each value, from 1 on; equal ones share the mean of theirs, which may be a half."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    first = last - count + 1
    doubled: npt.NDArray[np.int64] = (first + last)[place]
    return doubled


def _approximate_p(differences: Floats, alternative: Alternative) -> float:
    from scipy.stats import wilcoxon

    found = wilcoxon(differences, zero_method="pratt", alternative=alternative, method="asymptotic")
    return float(found.pvalue)


def normal_quantile(share: float) -> float:
    """The number below which a standard normal variable is with this probability; infinite for 0 and 1."""
    if share in (0, 1):
        return math.inf if share else -math.inf
    return NormalDist().inv_cdf(share)


def normal_share(number: float) -> float:
    """The probability with which a standard normal variable is below a number."""
    return math.erfc(-number / math.sqrt(2)) / 2


def t_quantile(share: float, freedom: int) -> float:
    """The number below which Student's t with so many degrees of freedom is with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
