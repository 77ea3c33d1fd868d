"""Pixels as an encoder was trained with them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD


class Renormalise(nn.Module):
    """From pixels as a `ClipBatch` has them to those of other means and deviations.

    Args:
        mean: Per channel, what the encoder's own training subtracted from pixels in [0, 1].
        std: Per channel, what it then divided by.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.is_needed = (tuple(mean), tuple(std)) != (IMAGENET_MEAN, IMAGENET_STD)

        # x std + mean is in [0, 1] again, then (x - mean') / std'
        ours = torch.tensor([IMAGENET_MEAN, IMAGENET_STD], dtype=torch.float64)
        theirs = torch.tensor([mean, std], dtype=torch.float64)
        scale = ours[1] / theirs[1]
        shift = (ours[0] - theirs[0]) / theirs[1]
        self.register_buffer("scale", scale.float().view(3, 1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(3, 1, 1, 1), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) to the same shape; the same tensor where nothing is to be done."""
        return clips * self.scale + self.shift if self.is_needed else clips
