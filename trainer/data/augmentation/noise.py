"""Normal noise as a pure function of a key, made on the device that needs it."""

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_BITS = 23
"""Random bits of a number: what single precision holds exactly, half a step away from 0 and 1."""


def stream(key: int, count: int, device: torch.device) -> Tensor:
    """The first numbers of SplitMix64's stream, those of `shards.keyed_random.mix64(key + n golden)`, n = 1, 2 ...

    Args:
        key: In [0, 2^64).
        count: How many.
        device: Where they are made.

    Returns:
        (count,) int64, of which all 64 bits are random.
    """
    number = torch.arange(1, count + 1, device=device)
    x = number * _signed(_GOLDEN) + _signed(key)
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return x ^ _shifted(x, 31)


def normal_noise(key: int, count: int, device: torch.device) -> Tensor:
    """Draw from the normal distribution, by its inverse: sqrt(2) erfinv(2 u - 1).

    Args:
        key: In [0, 2^64); each has noise of its own.
        count: How many numbers.
        device: Where they are made; another one may round the last bit differently.

    Returns:
        (count,) float32.
    """
    bits = _shifted(stream(key, count, device), 64 - _BITS)
    uniform = (bits.float() + 0.5) * 2.0**-_BITS
    return math.sqrt(2.0) * torch.erfinv(2.0 * uniform - 1.0)


def _shifted(x: Tensor, places: int) -> Tensor:
    """Shift the bits of int64 to the right as if it had no sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def _signed(x: int) -> int:
    """The int64 of the same 64 bits."""
    return x - 2**64 if x >= 2**63 else x
