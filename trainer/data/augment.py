"""Augmentation as pure functions of (seed, draw): a clip is cropped the same way on any rank and after any resume."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, permute, uniform
from surgstream.trainer.data.config import AugmentConfig, CropConfig

# Corners, edge centres, centre and the four quarter points, in quarters of the free margin (x, y).
OFFSETS = (
    (0, 0),
    (4, 0),
    (0, 4),
    (4, 4),
    (2, 2),
    (0, 2),
    (4, 2),
    (2, 4),
    (2, 0),
    (1, 1),
    (3, 1),
    (1, 3),
    (3, 3),
)


Windows = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ClipTransform:
    """The augmentation of B clips, each the same for all frames of its clip.

    Another augmentation is one more field here: an array with an entry a clip, or None where a recipe goes without.

    Attributes:
        windows: Crop windows (left, top, right, bottom) in pixels, shape (B, 4).
    """

    windows: Windows


def draw_transform(
    config: AugmentConfig | None,
    seed: int,
    draws: npt.NDArray[np.int64],
    frame_sizes: npt.NDArray[np.int64],
) -> ClipTransform:
    """Draw the augmentation of some clips.

    Args:
        config: The recipe's augmentation; None takes centre squares, for evaluation.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).
    """
    if config is None:
        return ClipTransform(windows=center_crop(frame_sizes))
    return ClipTransform(windows=multi_scale_crop(config.crop, seed, draws, frame_sizes))


def multi_scale_crop(
    config: CropConfig, seed: int, draws: npt.NDArray[np.int64], frame_sizes: npt.NDArray[np.int64]
) -> Windows:
    """Draw one crop window a clip: uniform over the allowed (width, height) pairs, and over the offsets.

    Args:
        config: Scales, distortion and offsets.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4).
    """
    pairs = [
        (width, height)
        for (i, height), (j, width) in itertools.product(enumerate(config.scales), repeat=2)
        if abs(i - j) <= config.max_distortion
    ]

    # One draw below pairs x offsets decides both: the pair by quotient, the offset by remainder.
    num_choices = len(pairs) * len(OFFSETS)
    choice = permute(0, num_choices, hash64(seed, Purpose.CROP, draws))
    scales = np.array(pairs)[choice // len(OFFSETS)]

    short_side = frame_sizes.min(axis=1, keepdims=True)
    sides = np.floor(short_side * scales).astype(np.int64).clip(min=1)
    margins = frame_sizes - sides

    if config.offsets == "fixed":
        start = margins // 4 * np.array(OFFSETS)[choice % len(OFFSETS)]
    else:
        shares = uniform(hash64(seed, Purpose.CROP_OFFSET, draws), 2)
        start = np.floor(shares * (margins + 1)).astype(np.int64)

    return np.concatenate([start, start + sides], axis=1).astype(np.int32)


def center_crop(frame_sizes: npt.NDArray[np.int64]) -> Windows:
    """Take the largest centred square of each frame, for evaluation.

    Args:
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4).
    """
    side = frame_sizes.min(axis=1, keepdims=True)
    start = (frame_sizes - side) // 2
    return np.concatenate([start, start + side], axis=1).astype(np.int32)
