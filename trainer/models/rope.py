"""Rotary positions on three axes, as V-JEPA 2 has them: a longer clip needs no new parameters.

A head of width d gives 2 ((d // 3) // 2) channels each to time, row and column; what remains is not rotated. Channels
2i and 2i + 1 of an axis are turned as a pair, by the position times a frequency of each channel; the frequencies
10000^(-2i/w) of an axis of width w lie in its channels twice over, one after another, as in the released code.

V-JEPA 2.1 has them in pairs instead, and scales rows and columns to those of 256 pixels, whatever the size of a clip.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surgstream.trainer.models.config import EncoderConfig, Grid, TransformerShape

_TRAINED_PIXELS = 256
"""The side of the clips whose rows and columns scaled positions are of."""


def rope_tables(
    head_dim: int,
    grid: Grid,
    coordinates: Sequence[npt.NDArray[np.float64]] | None = None,
    *,
    in_pairs: bool = False,
) -> Tensor:
    """Cosines and sines of every token's angles.

    Args:
        head_dim: Width of a head, d.
        grid: The clips' grid of tokens.
        coordinates: Of each axis the coordinates of its tokens; None numbers them from 0.
        in_pairs: Whether both channels of a pair have the same frequency.

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
        turned = np.outer(positions, frequencies)
        angles[:, of_axis] = np.repeat(turned, 2, axis=1) if in_pairs else np.tile(turned, 2)
    return torch.tensor(np.stack([np.cos(angles), np.sin(angles)]), dtype=torch.float32)


def scaled_rope_tables(head_dim: int, grid: Grid, patch_size: int) -> Tensor:
    """The tables of V-JEPA 2.1: rows and columns go as far as those of 256 pixels do, slices are numbered from 0.

    Args:
        head_dim: Width of a head, d.
        grid: The clips' grid of tokens.
        patch_size: Height and width of a tubelet in pixels.

    Returns:
        (2, N, d) float32, see `rope_tables`.
    """
    last = _TRAINED_PIXELS // patch_size - 1
    slices = np.arange(grid.slices, dtype=np.float64)
    # A grid of one row has it at 0.
    rows, columns = (np.arange(num) * last / max(1, num - 1) for num in (grid.rows, grid.columns))
    return rope_tables(head_dim, grid, (slices, rows, columns), in_pairs=True)


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
        scaled_for: Height and width of a tubelet in pixels, where positions of space are scaled; see
            `scaled_rope_tables`.
    """

    tables: Tensor

    def __init__(
        self, shape: TransformerShape, grid: Grid, *, scaled_for: int | None = None
    ) -> None:
        super().__init__()
        head_dim = shape.embed_dim // shape.num_heads
        tables = (
            scaled_rope_tables(head_dim, grid, scaled_for)
            if scaled_for
            else rope_tables(head_dim, grid)
        )
        self.register_buffer("tables", tables, persistent=False)

    def forward(self, tokens: Tensor | None = None) -> Tensor:
        """The rotations (2, B, M, d) of tokens (B, M) int64; those of all tokens, (2, 1, N, d), for None."""
        if tokens is None:
            return self.first(self.tables.shape[1])
        return self.tables[:, tokens]

    def first(self, num_tokens: int) -> Tensor:
        """The rotations (2, 1, num_tokens, d) of the first tokens: those of an image are a clip's first."""
        return self.tables[:, None, :num_tokens]


def rope_of(encoder: EncoderConfig, shape: TransformerShape) -> Rope:
    """The rotations of an encoder's tokens, for itself or for a transformer of another shape."""
    is_scaled = encoder.positions == "rope_scaled"
    return Rope(shape, encoder.grid, scaled_for=encoder.patch_size if is_scaled else None)
