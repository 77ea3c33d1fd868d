"""RandAugment's draws: which operations change a clip, in which direction and how much.

"RandAugment: Practical automated data augmentation with a reduced search space" (arXiv 1909.13719), with timm's
operations and strengths, which VideoMAE and SurgVISTA use. Each of a clip's operations is one of 15, uniformly and with
replacement; it is applied with a probability, at a magnitude that is normal and clipped to [0, 10].
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.data.augmentation.config import RandAugmentConfig

Floats = npt.NDArray[np.float64]

_MOST = 10.0
"""The greatest magnitude."""


class Operation(IntEnum):
    """What may become of a picture."""

    NONE = -1
    AUTO_CONTRAST = 0
    EQUALIZE = 1
    INVERT = 2
    ROTATE = 3
    POSTERIZE = 4
    SOLARIZE = 5
    SOLARIZE_ADD = 6
    COLOR = 7
    CONTRAST = 8
    BRIGHTNESS = 9
    SHARPNESS = 10
    SHEAR_X = 11
    SHEAR_Y = 12
    TRANSLATE_X = 13
    TRANSLATE_Y = 14


NUM_OPERATIONS = len(Operation) - 1


@dataclass(frozen=True, eq=False)
class OperationDraws:
    """The operations on B clips, L each, in their order.

    Attributes:
        kinds: (B, L) `Operation`s; `NONE` leaves the clip as it is.
        arguments: (B, L) what each is told: degrees, a factor, a threshold, a share of the side; see `argument`.
    """

    kinds: npt.NDArray[np.int64]
    arguments: Floats


def draw_operations(
    config: RandAugmentConfig, seed: int, draws: npt.NDArray[np.int64]
) -> OperationDraws:
    """Draw the operations on some clips.

    Args:
        config: Number, probability and strength.
        seed: The run's seed.
        draws: Draw numbers, shape (B,).
    """
    key = hash64(seed, Purpose.RAND_AUGMENT, draws)
    numbers = uniform(key, 5 * config.num_ops).reshape(len(draws), config.num_ops, 5)
    which, whether, sign, radius, angle = np.moveaxis(numbers, 2, 0)

    kinds = np.floor(which * NUM_OPERATIONS).astype(np.int64)
    # Box and Muller: two uniform numbers make a normal one
    normal = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    magnitudes = (config.magnitude + config.magnitude_std * normal).clip(0.0, _MOST)
    signs = np.where(sign < 0.5, 1.0, -1.0)

    arguments = np.zeros_like(magnitudes)
    for kind in Operation:
        chosen = kinds == kind
        arguments[chosen] = argument(
            kind, magnitudes[chosen], signs[chosen], increasing=config.increasing
        )

    kinds[whether >= config.probability] = Operation.NONE
    return OperationDraws(kinds, arguments)


def argument(kind: Operation, magnitudes: Floats, signs: Floats, *, increasing: bool) -> Floats:
    """What an operation is told.

    Args:
        kind: The operation.
        magnitudes: Strengths in [0, 10], of any shape.
        signs: -1 or 1, of the same shape, for operations that have two directions.
        increasing: See `RandAugmentConfig`.

    Returns:
        Degrees of a rotation, counter-clockwise; shear as pixels a pixel; translation as a share of the side; bits that
        are kept; the threshold of solarising, or what is added to levels below 128; factors of what blends the picture
        with its grey, black or smooth version, where 1 is the picture.
    """
    shares = magnitudes / _MOST
    match kind:
        case Operation.ROTATE:
            return signs * (shares * 30.0)
        case Operation.SHEAR_X | Operation.SHEAR_Y:
            return signs * (shares * 0.3)
        case Operation.TRANSLATE_X | Operation.TRANSLATE_Y:
            return signs * (shares * 0.45)
        case Operation.POSTERIZE:
            bits = np.floor(shares * 4)
            return 4 - bits if increasing else bits
        case Operation.SOLARIZE:
            threshold = np.minimum(256.0, np.floor(shares * 256))
            return 256 - threshold if increasing else threshold
        case Operation.SOLARIZE_ADD:
            return np.minimum(128.0, np.floor(shares * 110))
        case Operation.COLOR | Operation.CONTRAST | Operation.BRIGHTNESS | Operation.SHARPNESS:
            if increasing:
                return np.maximum(0.1, 1.0 + signs * (shares * 0.9))
            return shares * 1.8 + 0.1
        case _:
            return np.zeros_like(magnitudes)
