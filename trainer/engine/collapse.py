"""Whether features stay diverse: a network that maps everything to one vector predicts it perfectly.

Three measures of n vectors v_i of width D, of which a loss says nothing:
- std: the mean over dimensions of the deviation over vectors;
- effective rank: exp(-sum p_k ln p_k), p_k = s_k / sum s, with s the singular values of the vectors as they are
  (RankMe, Garrido et al. 2023): 1 when all are one vector, up to D;
- mean cosine of two of them: 1 when all point one way.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

MOST_VECTORS = 2048
MOST_COSINE = 0.8
LEAST_RANK_SHARE = 0.05
"""Of single tiny runs: those that learned had cosines below 0.5 and 9 % of the dimensions, one that did not 0.85."""


def diversity(vectors: Tensor) -> dict[str, Tensor]:
    """Measure `std`, `effective_rank` and `mean_cosine`; scalars on the device.

    Args:
        vectors: (n, D), at least two; of more than 2048 evenly spread ones are taken.
    """
    vectors = vectors.float()[:: -(-len(vectors) // MOST_VECTORS)]
    values = torch.linalg.svdvals(vectors)
    shares = values / values.sum().clamp(min=1e-30)
    unit, n = F.normalize(vectors, dim=1), len(vectors)
    return {
        "std": vectors.std(0).mean(),
        "effective_rank": torch.special.entr(shares).sum().exp(),
        "mean_cosine": (unit.sum(0).square().sum() - n) / (n * (n - 1)),
    }


def warn_of_collapse(step: int, means: Mapping[str, float], widths: Mapping[str, int]) -> None:
    """Log a warning, with the evidence, when features are nearly one vector or lie in very few dimensions.

    Args:
        step: Of the measurement.
        means: `NAME_std`, `NAME_effective_rank` and `NAME_mean_cosine` of every set of vectors.
        widths: D by name.
    """
    for name, width in widths.items():
        rank, cosine, std = (means[f"{name}_{kind}"] for kind in ("effective_rank", "mean_cosine", "std"))
        least_rank = max(2.0, LEAST_RANK_SHARE * width)
        if cosine > MOST_COSINE or rank < least_rank:
            log.warning(
                "step %d: %s collapse: mean cosine %.3f (too much above %.2f), effective rank %.1f of %d (too little "
                "below %.1f), std %.3g; the loss does not show it: look at the probe and the pictures, and lower the "
                "learning rate, lengthen the warm-up, or average more slowly",
                step, name, cosine, MOST_COSINE, rank, width, least_rank, std,
            )  # fmt: skip
