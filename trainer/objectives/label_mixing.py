"""A stand-in for mixing until the real one is merged: blends each clip with its mirror in the micro-batch."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.objectives.config import MixConfig


class MixDraw(NamedTuple):
    """The share of each clip, a scalar tensor."""

    share: Tensor


def draw_mixing(
    config: MixConfig,
    seed: int,
    draws: npt.NDArray[np.int64],
    *,
    image_size: int,
    device: torch.device,
) -> MixDraw:
    """Draw the share, by the first clip's draw number."""
    drawn = uniform(hash64(seed, Purpose.MIX, draws[:1]), 1)[0, 0]
    return MixDraw(torch.tensor(drawn, dtype=torch.float32, device=device))


def mix(clips: Tensor, targets: Tensor, draw: MixDraw) -> tuple[Tensor, Tensor]:
    """Blend."""
    return (
        draw.share * clips + (1 - draw.share) * clips.flip(0),
        draw.share * targets + (1 - draw.share) * targets.flip(0),
    )


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Smoothed one-hot targets (B, C)."""
    off = smoothing / num_classes
    return off + (1 - smoothing) * F.one_hot(labels, num_classes).float()
