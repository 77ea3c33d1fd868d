"""Whether features stay diverse: a network that maps everything to one vector predicts it perfectly.

Three measures of n vectors v_i of width D, of which a loss says nothing:
- std: the mean over dimensions of the deviation over vectors;
- effective rank: exp(-sum p_k ln p_k), p_k = s_k / sum s, with s the singular values of the vectors as they are
  (RankMe, Garrido et al. 2023): 1 when all are one vector, up to D;
- mean cosine of two of them: 1 when all point one way.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

MOST_VECTORS = 2048

MOST_COSINE = 0.9
LEAST_RANK = 3.0
"""Of the tiny recipes while they learned: cosines up to 0.84, in the first fifty steps, and 0.31 after 500; effective
ranks from 13.9 on, of 128 dimensions. Of one whose targets had become one vector: 0.998 and 1.2. No share of the width,
since a wide encoder need not fill it."""

_WORSE, _RECOVERED = 0.5, 1.5


def diversity(vectors: Tensor) -> dict[str, Tensor]:
    """Measure `std`, `effective_rank` and `mean_cosine`; scalars on the device.

    Args:
        vectors: (n, D), at least two; of more than 2048 evenly spread ones are taken.
    """
    # Every k-th vector, with k rounded up, so that at most MOST_VECTORS are left.
    vectors = vectors.float()[:: -(-len(vectors) // MOST_VECTORS)]
    values = torch.linalg.svdvals(vectors)
    shares = values / values.sum().clamp(min=1e-30)
    unit, n = F.normalize(vectors, dim=1), len(vectors)

    return {
        "std": vectors.std(0).mean(),
        "effective_rank": torch.special.entr(shares).sum().exp(),
        # |sum of units|^2 adds up all n^2 cosines, n of them of a vector with itself, which are 1.
        "mean_cosine": (unit.sum(0).square().sum() - n) / (n * (n - 1)),
    }


class Sign(NamedTuple):
    """A measure, and where it tells of a collapse.

    Attributes:
        kind: The measure.
        collapsed: Its value when all is one vector.
        limit: Values from here to there are warned of.
    """

    kind: str
    collapsed: float
    limit: float

    def distance(self, value: float) -> float:
        """How far from collapse: below 1 beyond the limit, 0 when all is one vector."""
        return (value - self.collapsed) / (self.limit - self.collapsed)


class CollapseWatch:
    """Warns of features that are nearly one vector: once, and again when they get much worse or have recovered."""

    def __init__(self, advice: str) -> None:
        """Begin with no looks.

        Args:
            advice: What to do in this recipe.
        """
        self._advice = advice
        self._told: dict[tuple[str, str], float] = {}

    def look(
        self, step: int, means: Mapping[str, float], sizes: Mapping[str, tuple[int, int]]
    ) -> None:
        """Log a warning, with each sign, its value and its limit, unless that was said before.

        Args:
            step: Of the measurement.
            means: `NAME_std`, `NAME_effective_rank` and `NAME_mean_cosine` of every set of vectors.
            sizes: Number and width of the vectors of each set.
        """
        for name, (num, width) in sizes.items():
            signs = []
            for sign in (
                Sign("mean_cosine", 1.0, MOST_COSINE),
                Sign(
                    "effective_rank", 1.0, min(LEAST_RANK, (1 + min(num, width)) / 2)
                ),  # few vectors fill few
            ):
                value = means[f"{name}_{sign.kind}"]
                if self._is_news(name, sign, value):
                    signs.append(_in_words(sign, value))

            if signs:
                log.warning(
                    "step %d: %s collapse: %s; the loss does not show it, pictures and probe may. %s. It is said again "
                    "only when it gets worse, or comes back",
                    step, name, " and ".join(signs), self._advice,
                )  # fmt: skip

    def _is_news(self, name: str, sign: Sign, value: float) -> bool:
        distance, told = sign.distance(value), self._told.get((name, sign.kind))
        if told is not None and distance >= _RECOVERED:
            del self._told[name, sign.kind]
        if distance >= 1 or (told is not None and distance > _WORSE * told):
            return False
        self._told[name, sign.kind] = distance
        return True


def _in_words(sign: Sign, value: float) -> str:
    kind = sign.kind.replace("_", " ")
    side = "above" if sign.collapsed > sign.limit else "below"
    return f"{kind} {value:.3g}, {side} {sign.limit:g} ({sign.collapsed:g} if all were one vector)"
