"""From clips to tokens: tubelets, their embedding and their fixed positions.

Tokens are ordered (T, H, W): all of the first slice row by row, then the second slice. A token's pixels are ordered
(C, T, H, W), which is the order of a Conv3d kernel, so the linear embedding below is that convolution.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from surgstream.trainer.models.config import ROTARY, Grid, Positions


def to_tubelets(clips: Tensor, tubelet_size: int, patch_size: int) -> Tensor:
    """Cut clips into tubelets.

    Args:
        clips: (B, C, T, H, W), strided in any way.
        tubelet_size: Frames of a tubelet, t.
        patch_size: Rows and columns of a tubelet, p.

    Returns:
        (B, N, C t p p), tokens in (T, H, W) order, pixels in (C, T, H, W) order.
    """
    pattern = "b c (s t) (h p) (w q) -> b (s h w) (c t p q)"
    tubelets: Tensor = rearrange(clips, pattern, t=tubelet_size, p=patch_size, q=patch_size)
    return tubelets


def from_tubelets(tubelets: Tensor, grid: Grid, tubelet_size: int, patch_size: int) -> Tensor:
    """Put tubelets back together: the inverse of `to_tubelets`.

    Args:
        tubelets: (B, N, C t p p).
        grid: The clips' grid of tokens.
        tubelet_size: Frames of a tubelet, t.
        patch_size: Rows and columns of a tubelet, p.

    Returns:
        (B, C, T, H, W).
    """
    pattern = "b (s h w) (c t p q) -> b c (s t) (h p) (w q)"
    slices, rows, columns = grid
    clips: Tensor = rearrange(
        tubelets, pattern, s=slices, h=rows, w=columns, t=tubelet_size, p=patch_size, q=patch_size
    )
    return clips


def take_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick M tokens of each clip.

    Args:
        tokens: (B, N, D).
        index: (B, M) int64.

    Returns:
        (B, M, D).
    """
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def sincos_positions(embed_dim: int, grid: Grid) -> Tensor:
    """Fixed positions: a quarter of the width for time, then three eighths each for the column and the row.

    An axis of width d encodes its coordinate x as sin(x w_i) for all i, then cos(x w_i), with w_i = 10000^(-2i/d).

    Args:
        embed_dim: D, a multiple of 16, so that each axis gets whole pairs.
        grid: The clips' grid of tokens.

    Returns:
        (N, D) float32.
    """
    time, row, column = np.indices(grid).reshape(3, -1)
    widths = (embed_dim // 4, embed_dim * 3 // 8, embed_dim * 3 // 8)
    axes = []
    for coordinate, width in zip((time, column, row), widths, strict=True):
        frequencies = 10000.0 ** (-np.arange(0, width, 2) / width)
        angles = np.outer(coordinate, frequencies)
        axes += [np.sin(angles), np.cos(angles)]
    return torch.tensor(np.concatenate(axes, axis=1), dtype=torch.float32)


def sinusoid_positions(embed_dim: int, num_tokens: int) -> Tensor:
    """Fixed positions that number the tokens, as VideoMAE has them: sine and cosine by turns.

    Column 2i of token x is sin(x w_i), column 2i + 1 is cos(x w_i), with w_i = 10000^(-2i/D).

    Args:
        embed_dim: D, even.
        num_tokens: N.

    Returns:
        (N, D) float32.
    """
    frequencies = 10000.0 ** (-np.arange(0, embed_dim, 2) / embed_dim)
    angles = np.outer(np.arange(num_tokens), frequencies)
    by_turns = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return torch.tensor(by_turns.reshape(num_tokens, -1), dtype=torch.float32)


def fixed_positions(kind: Positions, embed_dim: int, grid: Grid) -> Tensor | None:
    """Positions of a kind to add to the tokens, (N, D) float32; None for those that attention adds."""
    if kind in ROTARY:
        return None
    if kind == "sinusoid":
        return sinusoid_positions(embed_dim, grid.num_tokens)
    return sincos_positions(embed_dim, grid)


class TubeletEmbedding(nn.Module):
    """Embed tubelets linearly and add their positions: a Conv3d whose stride is its kernel, on the wanted tokens only.

    Args:
        embed_dim: D.
        grid: The clips' grid of tokens.
        tubelet_size: Frames of a tubelet.
        patch_size: Rows and columns of a tubelet.
        positions: The kind of positions that is added.
        images: Whether images, which are clips of one frame, have a projection of their own, and both kinds an
            embedding of what they are.
    """

    positions: Tensor | None
    image_projection: nn.Linear | None

    def __init__(
        self,
        embed_dim: int,
        grid: Grid,
        tubelet_size: int,
        patch_size: int,
        positions: Positions = "sincos",
        *,
        images: bool = False,
    ) -> None:
        super().__init__()
        self.tubelet_size = tubelet_size
        self.patch_size = patch_size
        self.projection = nn.Linear(3 * tubelet_size * patch_size**2, embed_dim)
        self.image_projection = None
        self.modality = None
        if images:
            self.image_projection = nn.Linear(3 * patch_size**2, embed_dim)
            self.modality = Modality(embed_dim)
        fixed = fixed_positions(positions, embed_dim, grid)
        self.register_buffer("positions", fixed, persistent=False)

    def forward(self, clips: Tensor, visible: Tensor | None = None) -> Tensor:
        """Embed clips.

        Args:
            clips: (B, C, T, H, W); images have one frame.
            visible: (B, M) int64, the tokens to embed; all N when None.

        Returns:
            (B, M, D).
        """
        projection = self.projection
        tubelet_size = self.tubelet_size
        is_image = clips.shape[2] == 1
        if self.image_projection is not None and is_image:
            projection = self.image_projection
            tubelet_size = 1

        tubelets = to_tubelets(clips, tubelet_size, self.patch_size)
        num_tokens = tubelets.shape[1]
        if visible is not None:
            tubelets = take_tokens(tubelets, visible)

        embedded: Tensor = projection(tubelets)
        if self.modality is not None:
            embedded = embedded + self.modality(is_image=is_image).to(embedded.dtype)
        if self.positions is None:
            return embedded
        # An image's tokens are where those of a clip's first slice are
        positions = self.positions[:num_tokens] if visible is None else self.positions[visible]
        return embedded + positions


class Modality(nn.Module):
    """What tokens are of, as a vector that is added to them: one for videos, and one for still images.

    Args:
        embed_dim: D.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.of_videos = nn.Parameter(torch.zeros(embed_dim))
        self.of_images = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, *, is_image: bool) -> Tensor:
        """The vector (D,)."""
        return self.of_images if is_image else self.of_videos
