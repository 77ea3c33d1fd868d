"""Crop windows as pure functions of (seed, draw): a clip is cropped the same way on any rank and after any resume."""

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, permute, uniform
from surgstream.trainer.data.config import CropConfig

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


def multi_scale_crop(
    config: CropConfig, seed: int, g: npt.NDArray[np.int64], frame_sizes: npt.NDArray[np.int64]
) -> Windows:
    """Draw one crop window a clip: uniform over the allowed (width, height) pairs, and over the offsets.

    Args:
        config: Scales, distortion and offsets.
        seed: The run's seed.
        g: Draw numbers, shape (B,).
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4).
    """
    pairs = [
        (width, height)
        for i, height in enumerate(config.scales)
        for j, width in enumerate(config.scales)
        if abs(i - j) <= config.max_distortion
    ]

    # One draw below pairs x offsets decides both: the pair by quotient, the offset by remainder.
    choice = permute(0, len(pairs) * len(OFFSETS), hash64(seed, Purpose.CROP, g))
    short_side = frame_sizes.min(axis=1, keepdims=True)
    sides = (
        np.floor(short_side * np.array(pairs)[choice // len(OFFSETS)]).astype(np.int64).clip(min=1)
    )

    if config.offsets == "fixed":
        start = (frame_sizes - sides) // 4 * np.array(OFFSETS)[choice % len(OFFSETS)]
    else:
        start = np.floor(
            uniform(hash64(seed, Purpose.CROP_OFFSET, g), 2) * (frame_sizes - sides + 1)
        ).astype(np.int64)

    return np.concatenate([start, start + sides], axis=1).astype(np.int32)


def center_crop(frame_sizes: npt.NDArray[np.int64]) -> Windows:
    """The largest centred square of each frame, for evaluation.

    Args:
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4).
    """
    side = frame_sizes.min(axis=1, keepdims=True)
    start = (frame_sizes - side) // 2
    return np.concatenate([start, start + side], axis=1).astype(np.int32)
