"""Augmentation as pure functions of (seed, draw): a clip is cropped the same way on any rank and after any resume."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, permute, uniform
from surgstream.trainer.data.config import AugmentConfig, CropConfig, View

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
