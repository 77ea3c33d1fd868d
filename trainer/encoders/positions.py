"""Positions of an encoder for clips of another size than that of its training: between those that it learned from."""

import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.rope import rope_tables


def interpolated(positions: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """Fixed positions of a grid, by those of another one that covers the same clip.

    Args:
        positions: (N, D), those of the grid of the training.
        trained: That grid.
        grid: The grid that is wanted.

    Returns:
        (M, D), between the nearest ones along time, rows and columns; the centres of both grids' outer tokens need not
        agree, as one has smaller tokens than the other.
    """
    volume = positions.t().reshape(1, -1, *trained)
    resized = F.interpolate(volume, size=tuple(grid), mode="trilinear", align_corners=False)
    return resized.reshape(len(volume[0]), -1).t().contiguous()


def interpolated_rope(head_dim: int, trained: Grid, grid: Grid) -> Tensor:
    """Rotary positions of a grid whose coordinates go as far as those of another one that covers the same clip.

    Token i of n along an axis stands where token (i + 1/2) m / n - 1/2 of m would.

    Args:
        head_dim: Width of a head, d.
        trained: The grid of the training.
        grid: The grid that is wanted.

    Returns:
        (2, M, d) float32, cosines and sines; see `rope_tables`.
    """
    coordinates = [
        (torch.arange(wanted).double() + 0.5) * had / wanted - 0.5
        for wanted, had in zip(grid, trained, strict=True)
    ]
    return rope_tables(head_dim, grid, [axis.numpy() for axis in coordinates])
