"""Terms that compare every vector of a clip with every other: affinities, and Gram matrices."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

RowsOf = Callable[[Tensor, Tensor, slice], Tensor]
"""From predicted and true vectors (B, N, D), and some of the N: a value for each of these, (B, rows)."""

_ROWS = 256


# Compiled, its loop would be compiled again for every number of vectors
@torch.compiler.disable  # type: ignore[untyped-decorator]
def mean_by_rows(rows_of: RowsOf, predicted: Tensor, true: Tensor) -> Tensor:
    """The mean over all vectors, some rows at a time, which are computed again on the way back.

    So memory grows with N instead of its square; time does not.

    Args:
        rows_of: The values of some rows.
        predicted: (B, N, D).
        true: (B, N, D).
    """
    parts = []
    for start in range(0, predicted.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        parts.append(checkpoint(rows_of, predicted, true, rows, use_reentrant=False))
    return torch.cat(parts, dim=1).mean()


def affinity_loss(
    predicted: Tensor, true: Tensor, temperature: float, *, exclude_self: bool
) -> Tensor:
    """UniSurg's L_st: the mean Kullback-Leibler divergence of predicted affinities from the true ones.

    Args:
        predicted: (B, N, D), a vector a tube, or a token.
        true: (B, N, D).
        temperature: tau.
        exclude_self: Leave a vector's affinity to itself out.
    """
    return _divergences(predicted, true, slice(None), temperature, exclude_self).mean()


def affinity_loss_by_rows(
    predicted: Tensor, true: Tensor, temperature: float, *, exclude_self: bool
) -> Tensor:
    """The same as `affinity_loss`, in memory that grows with N instead of its square."""
    rows_of = partial(_divergences, temperature=temperature, exclude_self=exclude_self)
    loss: Tensor = mean_by_rows(rows_of, predicted, true)
    return loss


def gram_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """The mean smooth L1 (beta 1) of the cosines of all pairs of predicted vectors, from those of true ones.

    Args:
        predicted: (B, N, D).
        true: (B, N, D).
    """
    loss: Tensor = mean_by_rows(_gram_differences, predicted, true)
    return loss


def _divergences(
    predicted: Tensor, true: Tensor, rows: slice, temperature: float, exclude_self: bool
) -> Tensor:
    """The divergence of some vectors' affinities to all, (B, rows)."""

    def log_affinities(vectors: Tensor) -> Tensor:
        cosines = _cosines(vectors, rows) / temperature
        if exclude_self:
            numbers = torch.arange(vectors.shape[1], device=vectors.device)
            cosines = cosines.masked_fill(numbers[rows, None] == numbers, -1e9)
        return cosines.log_softmax(-1)

    # bf16 would move cosines over tau by hundredths
    with torch.autocast(predicted.device.type, enabled=False):
        found = log_affinities(predicted)
        expected = log_affinities(true)
        divergences = F.kl_div(found, expected, reduction="none", log_target=True)
    return divergences.sum(-1)


def _gram_differences(predicted: Tensor, true: Tensor, rows: slice) -> Tensor:
    """How far some vectors' cosines to all are from the true ones, in the mean over all: (B, rows)."""
    with torch.autocast(predicted.device.type, enabled=False):
        found = _cosines(predicted, rows)
        expected = _cosines(true, rows)
        differences = F.smooth_l1_loss(found, expected, reduction="none")
    return differences.mean(-1)


def _cosines(vectors: Tensor, rows: slice) -> Tensor:
    """The cosines of some vectors and all, (B, rows, N)."""
    unit = F.normalize(vectors, dim=-1)
    return unit[:, rows] @ unit.transpose(1, 2)
