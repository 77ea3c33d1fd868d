"""Measures of how diverse features stay: a network that maps everything to one vector predicts it perfectly.

Three measures of n vectors v_i of width D, none of which a loss shows:
- std: the mean over dimensions of the deviation over vectors;
- effective rank: exp(-sum p_k ln p_k), p_k = s_k / sum s, with s the singular values of the vectors as they are
  (RankMe, Garrido et al. 2023): 1 when all are one vector, up to D;
- mean cosine of two of them: 1 when all point one way.
"""

import logging
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

MAX_VECTORS = 2048

MAX_COSINE = 0.9
MIN_RANK = 3.0
"""The tiny recipes, while they learned, had cosines up to 0.84 in the first fifty steps and 0.31 after 500; their
effective ranks were 13.9 or more, of 128 dimensions. One whose targets had become one vector had 0.998 and 1.2. The
rank's limit is no share of the width, since a wide encoder need not fill it."""

# Shares of the distance from collapse: of that at the last warning, and of that at the limit.
_WORSE = 0.5
_RECOVERED = 1.5


def diversity(vectors: Tensor) -> dict[str, Tensor]:
    """Measure `std`, `effective_rank` and `mean_cosine`; scalars on the device.

    Args:
        vectors: (n, D), at least two; of more than 2048, 2048 or fewer evenly spread ones are taken.
    """
    # Every k-th vector, with k rounded up, so that at most MAX_VECTORS are left.
    every = math.ceil(len(vectors) / MAX_VECTORS)
    vectors = vectors.float()[::every]

    singular = torch.linalg.svdvals(vectors)
    shares = singular / singular.sum().clamp(min=1e-30)
    entropy = torch.special.entr(shares).sum()

    # |sum of units|^2 adds up all n^2 cosines, n of them of a vector with itself, which are 1.
    n = len(vectors)
    unit = F.normalize(vectors, dim=1)
    cosines = unit.sum(0).square().sum() - n

    return {
        "std": vectors.std(0).mean(),
        "effective_rank": entropy.exp(),
        "mean_cosine": cosines / (n * (n - 1)),
    }


class Sign(NamedTuple):
    """A measure, and the values of it that are signs of a collapse.

    Attributes:
        kind: The measure.
        collapsed: Its value when all is one vector.
        limit: Values between this and `collapsed` are warned of.
    """

    kind: str
    collapsed: float
    limit: float

    def distance(self, value: float) -> float:
        """The distance from collapse: 0 when all is one vector, 1 at the limit."""
        return (value - self.collapsed) / (self.limit - self.collapsed)


class CollapseWatch:
    """Warns of features that are nearly one vector: once, and again when they get much worse or have recovered."""

    def __init__(self, advice: str) -> None:
        """Begin without measurements.

        Args:
            advice: What to do about a collapse in this recipe.
        """
        self._advice = advice
        self._warned_at: dict[tuple[str, str], float] = {}

    def look(
        self, step: int, means: Mapping[str, float], sizes: Mapping[str, tuple[int, int]]
    ) -> None:
        """Log a warning with each sign, its value and its limit, unless it was logged before.

        Args:
            step: The step after which they were measured.
            means: `NAME_std`, `NAME_effective_rank` and `NAME_mean_cosine` of every set of vectors.
            sizes: Number and width of the vectors of each set.
        """
        for name, (num, width) in sizes.items():
            # Few vectors, or narrow ones, have a small rank at best.
            least_rank = min(MIN_RANK, (1 + min(num, width)) / 2)
            signs = (Sign("mean_cosine", 1.0, MAX_COSINE), Sign("effective_rank", 1.0, least_rank))

            found = []
            for sign in signs:
                value = means[f"{name}_{sign.kind}"]
                if self._is_news(name, sign, value):
                    found.append(_in_words(sign, value))

            if found:
                log.warning(
                    "step %d: %s collapse: %s; the loss does not show it, pictures and probe may. "
                    "%s. This is logged again only when it gets worse or comes back",
                    step,
                    name,
                    " and ".join(found),
                    self._advice,
                )

    def _is_news(self, name: str, sign: Sign, value: float) -> bool:
        distance = sign.distance(value)
        warned_at = self._warned_at.get((name, sign.kind))
        if warned_at is not None and distance >= _RECOVERED:
            del self._warned_at[name, sign.kind]

        is_no_worse = warned_at is not None and distance > _WORSE * warned_at
        if distance >= 1 or is_no_worse:
            return False
        self._warned_at[name, sign.kind] = distance
        return True


def _in_words(sign: Sign, value: float) -> str:
    kind = sign.kind.replace("_", " ")
    side = "above" if sign.collapsed > sign.limit else "below"
    return f"{kind} {value:.3g}, {side} {sign.limit:g} ({sign.collapsed:g} if all were one vector)"
