"""How far visible tokens are from masked ones."""

import torch
from torch import Tensor

from surgstream.trainer.models.config import Grid


@torch.no_grad()
def distances_to_masked(grid: Grid, visible: Tensor, masked: Tensor) -> Tensor:
    """The Euclidean distance of each visible token to the nearest masked one, in tokens of time, row and column.

    d_i = min over masked j of sqrt((t_i - t_j)^2 + (r_i - r_j)^2 + (c_i - c_j)^2), [J7] of `docs/recipes_next.md`.

    Args:
        grid: The clips' grid of tokens.
        visible: (B, V) int64, the visible tokens.
        masked: (B, M) int64, the masked ones, at least one.

    Returns:
        (B, V) float32, 1 or more.
    """
    axes = [torch.arange(size, device=visible.device, dtype=torch.float32) for size in grid]
    places = torch.cartesian_prod(*axes)

    # Clip by clip: all at once would take V M numbers for each of them
    nearest = [
        torch.cdist(
            places[shown], places[hidden], compute_mode="donot_use_mm_for_euclid_dist"
        ).amin(1)
        for shown, hidden in zip(visible, masked, strict=True)
    ]
    return torch.stack(nearest)
