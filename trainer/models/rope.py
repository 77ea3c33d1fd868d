"""Rotary positions on three axes, as V-JEPA 2 has them: a longer clip needs no new parameters.

A head of width d gives 2 ((d // 3) // 2) channels each to time, row and column; what remains is not rotated. Channels
2i and 2i + 1 of an axis are turned as a pair, by the position times a frequency of each channel; the frequencies
10000^(-2i/w) of an axis of width w lie in its channels twice over, one after another, as in the released code.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surgstream.trainer.models.config import Grid, TransformerShape


def rope_tables(
    head_dim: int, grid: Grid, coordinates: Sequence[npt.NDArray[np.float64]] | None = None
) -> Tensor:
    """Cosines and sines of every token's angles.

    Args:
        head_dim: Width of a head, d.
        grid: The clips' grid of tokens.
        coordinates: Of each axis the coordinates of its tokens; None numbers them from 0.

    Returns:
        (2, N, d) float32.
    """
    width = 2 * (head_dim // 3 // 2)
    frequencies = 10000.0 ** (-np.arange(width // 2) / (width / 2))
    # Channels beyond the three axes keep the angle 0, and so are not rotated
    angles = np.zeros((grid.num_tokens, head_dim))
    for axis, numbers in enumerate(np.indices(grid).reshape(3, -1)):
        positions = numbers if coordinates is None else coordinates[axis][numbers]
        of_axis = slice(axis * width, (axis + 1) * width)
        angles[:, of_axis] = np.tile(np.outer(positions, frequencies), 2)
    return torch.tensor(np.stack([np.cos(angles), np.sin(angles)]), dtype=torch.float32)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn queries or keys to their positions.

    Args:
        x: (B, h, N, d).
        rotation: (2, B, N, d), or (2, 1, N, d) where all clips show the same tokens, see `rope_tables`.

    Returns:
        (B, h, N, d), of x's type.
    """
    cosines, sines = rotation.unsqueeze(2).to(x.dtype)
    # (x0, x1) to (-x1, x0) in each pair of channels.
    turned: Tensor = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    rotated: Tensor = x * cosines + turned * sines
    return rotated


class Rope(nn.Module):
    """The rotations of a clip's tokens.

    Args:
        shape: The transformer's numbers.
        grid: The clips' grid of tokens.
    """

    tables: Tensor

    def __init__(self, shape: TransformerShape, grid: Grid) -> None:
        super().__init__()
        tables = rope_tables(shape.embed_dim // shape.num_heads, grid)
        self.register_buffer("tables", tables, persistent=False)

    def forward(self, tokens: Tensor | None = None) -> Tensor:
        """The rotations (2, B, M, d) of tokens (B, M) int64; those of all tokens, (2, 1, N, d), for None."""
        if tokens is None:
            return self.tables.unsqueeze(1)
        return self.tables[:, tokens]
