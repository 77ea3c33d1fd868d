"""Crop windows, drawn for each clip and shared by its frames."""

import itertools

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, permute, uniform
from surgstream.trainer.data.augmentation.config import CropConfig, ResizedCropConfig

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

_ATTEMPTS = 10
"""Sizes that are tried before a resized crop takes what fits."""

Windows = npt.NDArray[np.int32]


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


def resized_crop(
    config: ResizedCropConfig,
    seed: int,
    draws: npt.NDArray[np.int64],
    frame_sizes: npt.NDArray[np.int64],
) -> Windows:
    """Draw one window a clip as torchvision's and timm's RandomResizedCrop do.

    The share of the area is uniform, the aspect ratio uniform in its logarithm, the place uniform. The first of ten
    sizes that fits into the frame is taken; where none does, the largest centred window of an allowed ratio.

    Args:
        config: The ranges of area and ratio.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
        frame_sizes: Width and height of each clip's frames in pixels, shape (B, 2).

    Returns:
        Windows (left, top, right, bottom) in pixels, shape (B, 4).
    """
    numbers = uniform(hash64(seed, Purpose.RESIZED_CROP, draws), 2 * _ATTEMPTS + 2)
    shares, ratios, places = np.split(numbers, [_ATTEMPTS, 2 * _ATTEMPTS], axis=1)

    least, most = config.scale
    areas = frame_sizes.prod(axis=1, keepdims=True) * (least + (most - least) * shares)
    narrowest, widest = np.log(config.ratio)
    ratios = np.exp(narrowest + (widest - narrowest) * ratios)

    # (B, attempts, 2): width and height
    sides = np.rint(np.sqrt(np.stack([areas * ratios, areas / ratios], axis=2))).astype(np.int64)
    fits = ((sides > 0) & (sides <= frame_sizes[:, None])).all(axis=2)
    first = fits.argmax(axis=1)
    sides = sides[np.arange(len(draws)), first]

    none_fits = ~fits.any(axis=1, keepdims=True)
    sides = np.where(none_fits, _largest(config, frame_sizes), sides)
    margins = frame_sizes - sides
    start = np.where(none_fits, margins // 2, np.floor(places * (margins + 1)).astype(np.int64))
    return np.concatenate([start, start + sides], axis=1).astype(np.int32)


def _largest(
    config: ResizedCropConfig, frame_sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Width and height (B, 2) of the largest windows of an allowed ratio."""
    narrowest, widest = config.ratio
    width, height = frame_sizes.T
    widths = np.minimum(width, np.rint(height * widest))
    heights = np.minimum(height, np.rint(width / narrowest))
    return np.stack([widths, heights], axis=1).astype(np.int64).clip(min=1)
