"""Small grey copies of pictures, and their lowest frequencies between black borders."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.keyed_random import hash64

Grey = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]

EDGE = 64
"""Rows and columns of a thumbnail."""

WORDS = 8
"""Words of 32 bits in a fingerprint."""

DARKEST = 16
"""Mean level of grey of the darkest pictures that are looked at."""

POSES = {"upright": 0, "mirrored": 1, "turned": 3}
"""Ways in which a copy may lie: as it is, left and right exchanged, by half a turn. Bit 0 is left and right, bit 1 up
and down: a cosine of odd frequency changes its sign where its direction is reversed, one of even frequency does not."""

_FLIPS = 4
"""Left and right, up and down, each exchanged or not."""

_BLACK = 12
"""The brightest level of grey of a border."""

_LIT = 36
"""The level of grey from which on a pixel is surely no border."""


def thumbnail(jpeg: bytes) -> Grey:
    """Grey, shape (EDGE, EDGE); the decoder itself halves the picture as often as it can."""
    size = (EDGE, EDGE)
    image = Image.open(io.BytesIO(jpeg))
    image.draft("L", size)
    grey = image.convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(grey)


def lit(thumbnails: Grey) -> Floats:
    """The degree to which each pixel is no black border, 0 to 1; the shape of the thumbnails."""
    above_black = thumbnails - np.float32(_BLACK)
    return np.asarray(np.clip(above_black / (_LIT - _BLACK), 0, 1))


def window(weights: Floats) -> tuple[Floats, Floats]:
    """The stretch of the picture between black borders: the one with the mean and the spread of what is lit.

    Moments, not edges, since text in a border hardly moves them; a disc's window is the same with borders and without.

    Args:
        weights: How much of each row, or column, is lit, shape (N, EDGE).

    Returns:
        First and last row, or column; shape (N,).
    """
    weights = weights + np.float32(1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    places = np.arange(EDGE, dtype=np.float32) + np.float32(0.5)
    middle = weights @ places

    # An even stretch from m - s to m + s has the variance s^2 / 3.
    squares = (places - middle[:, None]) ** 2
    spread = np.sqrt(3 * (weights * squares).sum(axis=1))
    return middle - spread, middle + spread


def waves(start: Floats, stop: Floats, count: int) -> Floats:
    """Cosines of frequencies below `count` over windows, shape (N, count, EDGE).

    A pixel at the border counts as far as it is inside.
    """
    places = np.arange(EDGE, dtype=np.float32)
    start = start[:, None]
    stop = stop[:, None]
    ends = np.minimum(places + 1, stop)
    begins = np.maximum(places, start)
    inside = np.clip(ends - begins, 0, 1)
    weights = inside / inside.sum(axis=1, keepdims=True)

    shares = (places + 0.5 - start) / (stop - start)
    phases = shares * np.float32(np.pi)
    frequencies = np.arange(count, dtype=np.float32)[:, None]
    found = np.cos(frequencies * phases[:, None])
    return np.asarray(found * weights[:, None])


def coins(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Floats:
    """Signs with which waves are added up, a column for each bit of a fingerprint; shape (D, 32 * WORDS).

    Each way to flip a picture has a quarter of the bits, with the same coins: a flipped picture has the same bits, with
    the quarters in other places.

    Args:
        rows: How often each wave swings down the picture, shape (D,).
        columns: And across it.
    """
    numbers = np.arange(len(rows))[:, None]
    bits = np.arange(32 * WORDS // _FLIPS)
    heads = hash64(numbers, bits) & np.uint64(1)
    signs = np.where(heads, np.float32(1), np.float32(-1))

    # A wave of odd frequency changes its sign where its direction is flipped.
    across = columns[:, None] % 2
    down = rows[:, None] % 2
    quarters = []
    for flip in range(_FLIPS):
        changes = across * (flip & 1) ^ down * (flip >> 1)
        quarters.append(np.where(changes, -signs, signs))
    return np.concatenate(quarters, axis=1)


def packed(sums: Floats) -> Bits:
    """The signs of sums by `coins`, shape (N, 32 * WORDS), as bits, shape (N, WORDS)."""
    return np.packbits(sums > 0, axis=1).view(np.uint32)


def word_order(pose: int) -> npt.NDArray[np.int64]:
    """The words of a fingerprint in the order of that of the same picture in another pose; shape (WORDS,)."""
    quarter, inside = np.divmod(np.arange(WORDS), WORDS // _FLIPS)
    return np.asarray((quarter ^ pose) * (WORDS // _FLIPS) + inside)


def posed(bits: Bits, pose: int) -> Bits:
    """The fingerprints, shape (..., WORDS), that the same pictures have in another of the `POSES`."""
    return bits[..., word_order(pose)]


def differing(one: Bits, other: Bits) -> npt.NDArray[np.float64]:
    """Share of bits in which fingerprints differ, shape (...) of (..., WORDS); NaN where either says nothing."""
    num_bits = np.bitwise_count(one ^ other).sum(axis=-1)
    share = num_bits / (32 * WORDS)
    both_tell = one.any(axis=-1) & other.any(axis=-1)
    return np.where(both_tell, share, np.nan)
