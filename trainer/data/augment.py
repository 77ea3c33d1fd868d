"""Augmentation as pure functions of (seed, draw): a clip is changed the same way on any rank and after any resume."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data.augmentation.erasing import ErasingDraws, draw_erasing, erase
from surgstream.trainer.data.augmentation.operations import operate
from surgstream.trainer.data.augmentation.policy import (
    Operation,
    OperationDraws,
    draw_operations,
)
from surgstream.trainer.data.augmentation.windows import Windows, multi_scale_crop, resized_crop
from surgstream.trainer.data.config import AugmentConfig, View


@dataclass(frozen=True, eq=False)
class ClipTransform:
    """The augmentation of B clips, each the same for all frames of its clip.

    Another augmentation is one more field here: an array with an entry a clip, or None where a recipe goes without.

    Attributes:
        windows: Crop windows (left, top, right, bottom) in pixels, shape (B, 4).
        flipped: (B,) bool, whether left and right change places.
        operations: RandAugment's.
        erasing: The boxes that are erased.
    """

    windows: Windows
    flipped: npt.NDArray[np.bool_] | None = None
    operations: OperationDraws | None = None
    erasing: ErasingDraws | None = None

    @property
    def changes_pixels(self) -> bool:
        """Whether there is more to do than to crop."""
        others = (self.flipped, self.operations, self.erasing)
        return any(other is not None for other in others)


def draw_transform(
    config: AugmentConfig | View,
    seed: int,
    draws: npt.NDArray[np.int64],
    frame_sizes: npt.NDArray[np.int64],
) -> ClipTransform:
    """Draw the augmentation of some clips.

    Args:
        config: The recipe's augmentation; or a view, of clips that are judged.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).
    """
    if isinstance(config, str):
        return ClipTransform(windows=view_windows(config, frame_sizes))

    if config.resized_crop:
        windows = resized_crop(config.resized_crop, seed, draws, frame_sizes)
    else:
        windows = multi_scale_crop(config.crop, seed, draws, frame_sizes)

    return ClipTransform(
        windows=windows,
        flipped=draw_flips(config.flip, seed, draws) if config.flip else None,
        operations=(
            draw_operations(config.rand_augment, seed, draws) if config.rand_augment else None
        ),
        erasing=draw_erasing(config.erase, seed, draws) if config.erase else None,
    )


def view_windows(view: View, frame_sizes: npt.NDArray[np.int64]) -> Windows:
    """Take what a view shows of each frame, for evaluation.

    Args:
        view: The view.
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4): the whole frame, or a square of its short side.
    """
    if view == "squash":
        return np.concatenate([np.zeros_like(frame_sizes), frame_sizes], axis=1).astype(np.int32)

    side = frame_sizes.min(axis=1, keepdims=True)
    margins = frame_sizes - side
    start = {"start": 0 * margins, "centre": margins // 2, "end": margins}[view]
    return np.concatenate([start, start + side], axis=1).astype(np.int32)


def draw_flips(
    probability: float, seed: int, draws: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Draw which of some clips (B,) are mirrored: (B,) bool."""
    numbers = uniform(hash64(seed, Purpose.FLIP, draws), 1)
    return np.asarray(numbers[:, 0] < probability)


def augmented(clips: Tensor, transform: ClipTransform) -> Tensor:
    """Mirror, then RandAugment on 8-bit levels, then erase; clips that none of this befalls keep their pixels.

    Args:
        clips: (B, C, T, H, W) float32, normalised by `IMAGENET_MEAN` and `IMAGENET_STD`; they are not written to.
        transform: What was drawn for the B clips, which their windows have been cut by.

    Returns:
        (B, C, T, H, W) float32 on the same device; a strided view of (B, T, C, H, W).
    """
    if not transform.changes_pixels:
        return clips

    frames = clips.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    if transform.flipped is not None:
        flipped = np.flatnonzero(transform.flipped).tolist()
        if flipped:
            frames[flipped] = frames[flipped].flip(-1)

    if transform.operations is not None:
        _operate(frames, transform.operations)
    if transform.erasing is not None:
        erase(frames, transform.erasing)
    return frames.transpose(1, 2)


def _operate(frames: Tensor, draws: OperationDraws) -> None:
    """Apply the operations of B clips to their normalised frames (B, T, C, H, W), in place."""
    chosen = np.flatnonzero((draws.kinds != Operation.NONE).any(axis=1)).tolist()
    if not chosen:
        return

    mean, std = (
        255 * torch.tensor(values, device=frames.device).view(3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    levels = (frames[chosen] * std + mean).round().clamp(0, 255).to(torch.uint8)
    of_chosen = OperationDraws(draws.kinds[chosen], draws.arguments[chosen])
    frames[chosen] = (operate(levels, of_chosen).float() - mean) / std
