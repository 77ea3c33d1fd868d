"""Numbers of tokens, painted as colours over frames."""

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor

from surgstream.trainer.models.config import Grid

_LOW, _HIGH = 0.02, 0.98


class FeatureColours:
    """The first three principal components of some features, as red, green and blue.

    Args:
        features: (B, N, D), all of which decide the components.
    """

    def __init__(self, features: Tensor) -> None:
        with torch.autocast(features.device.type, enabled=False):
            self._fit(features)

    def _fit(self, features: Tensor) -> None:
        rows = features.float().flatten(0, 1)
        self._mean = rows.mean(0)
        centred = rows - self._mean
        _, directions = torch.linalg.eigh(centred.T @ centred)

        # Eigenvalues ascend: the last three directions, the one of most variance first
        axes = directions[:, -3:].flip(1)
        # A direction and its opposite are one component: the largest weight is above 0, so that colours stay
        largest = axes.abs().argmax(0, keepdim=True)
        self._axes = axes * axes.gather(0, largest).sign()

        ends = torch.tensor([_LOW, _HIGH], device=rows.device)
        self._range = torch.quantile(centred @ self._axes, ends, dim=0)

    def __call__(self, features: Tensor) -> Tensor:
        """Colours of features (B, N, D): (B, N, 3) in [0, 1]."""
        low, high = self._range
        with torch.autocast(features.device.type, enabled=False):
            along: Tensor = (features.float() - self._mean) @ self._axes
        colours: Tensor = (along - low) / (high - low).clamp(min=1e-6)
        return colours.clamp(0.0, 1.0)


def spread_over(colours: Tensor, grid: Grid, size: Sequence[int]) -> Tensor:
    """Paint every token in one colour.

    Args:
        colours: (B, N, C).
        grid: The clips' grid of tokens.
        size: T, H and W of the clips.

    Returns:
        (B, C, T, H, W).
    """
    slices, rows, columns = grid
    t, p, q = (pixels // tokens for pixels, tokens in zip(size, grid, strict=True))
    tokens = rearrange(colours, "b (s h w) c -> b c s h w", s=slices, h=rows, w=columns)
    painted: Tensor = repeat(tokens, "b c s h w -> b c (s t) (h p) (w q)", t=t, p=p, q=q)
    return painted


def only(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (B, N, D), with 0, which is black, in place of those that are not in `index` (B, M)."""
    index = index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
    return torch.zeros_like(tokens).scatter(1, index, tokens.gather(1, index))


def heat(values: Tensor) -> Tensor:
    """Values in [0, 1] from black over red and yellow to white: (..., N) to (..., N, 3)."""
    return torch.stack([3 * values, 3 * values - 1, 3 * values - 2], dim=-1).clamp(0.0, 1.0)
