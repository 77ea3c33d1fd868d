"""Clips for a frozen encoder, and its features without gradients."""

import torch
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder


def clips_for(encoder: FrozenEncoder, count: int = 2, seed: int = 0) -> Tensor:
    """Noise, strided as a loader's clips are."""
    shape = (count, encoder.num_frames, 3, encoder.image_size, encoder.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).transpose(1, 2)


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-5, for features of unit size."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
