"""Random erasing: normal noise in a box of some clips (arXiv 1708.04896), as timm's `pixel` mode has it for pictures.

As in VideoMAE, whose code SurgVISTA uses, a box has one place in all frames of its clip, and new noise in each of them.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.data.augmentation.config import EraseConfig
from surgstream.trainer.data.augmentation.noise import normal_noise

_ATTEMPTS = 10
"""Sizes that are tried; a clip for which none fits keeps its pixels."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ErasingDraws:
    """The boxes of B clips, before the size of the pictures is known.

    Attributes:
        erased: (B,) bool, whether a clip has a box.
        areas: (B, attempts), shares of the picture, the first that fits being taken.
        aspects: (B, attempts), height by width.
        places: (B, 2), shares of the free room above and on the left.
        keys: (B,) uint64, of the noise.
    """

    erased: npt.NDArray[np.bool_]
    areas: Floats
    aspects: Floats
    places: Floats
    keys: npt.NDArray[np.uint64]


def draw_erasing(config: EraseConfig, seed: int, draws: npt.NDArray[np.int64]) -> ErasingDraws:
    """Draw the boxes of some clips: area uniform, aspect ratio uniform in its logarithm, place uniform.

    Args:
        config: Probability, area and aspect ratio.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
    """
    keys = hash64(seed, Purpose.ERASE, draws)
    numbers = uniform(keys, 2 * _ATTEMPTS + 3)
    whether, places, shares, aspects = np.split(numbers, [1, 3, 3 + _ATTEMPTS], axis=1)

    least, most = config.area
    return ErasingDraws(
        erased=whether[:, 0] < config.probability,
        areas=least + (most - least) * shares,
        aspects=np.exp((1 - 2 * aspects) * math.log(config.aspect)),
        places=places,
        keys=keys,
    )


def boxes(draws: ErasingDraws, height: int, width: int) -> npt.NDArray[np.int64]:
    """Place the boxes in pictures of a size.

    Args:
        draws: What was drawn for B clips.
        height: Height of the pictures in pixels.
        width: Their width.

    Returns:
        (B, 4): top, left, bottom, right; of no area where nothing is erased.
    """
    areas = draws.areas * (height * width)
    sides = np.stack([areas * draws.aspects, areas / draws.aspects], axis=2)
    sides = np.rint(np.sqrt(sides)).astype(np.int64)

    size = np.array([height, width])
    fits = (sides < size).all(axis=2)
    first = sides[np.arange(len(sides)), fits.argmax(axis=1)]
    has_box = draws.erased & np.any(fits, axis=1)
    taken = np.where(has_box[:, None], first, 0)

    start = np.floor(draws.places * (size - taken + 1)).astype(np.int64)
    return np.concatenate([start, start + taken], axis=1)


def erase(frames: Tensor, draws: ErasingDraws) -> None:
    """Put noise into the boxes, in place.

    Args:
        frames: (B, T, C, H, W) float32, normalised.
        draws: What was drawn for the B clips.
    """
    height, width = frames.shape[-2:]
    for clip, (top, left, bottom, right) in enumerate(boxes(draws, height, width).tolist()):
        box = frames[clip, :, :, top:bottom, left:right]
        if box.numel():
            noise = normal_noise(int(draws.keys[clip]), box.numel(), frames.device)
            box.copy_(noise.view(box.shape).to(box.dtype))
