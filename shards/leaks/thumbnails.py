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

_BLACK, _LIT = 12, 36
"""Levels of grey: of borders, and of what is surely none."""


def thumbnail(jpeg: bytes) -> Grey:
    """Grey, shape (EDGE, EDGE); the decoder itself halves the picture as often as it can."""
    image = Image.open(io.BytesIO(jpeg))
    image.draft("L", (EDGE, EDGE))
    return np.asarray(image.convert("L").resize((EDGE, EDGE), Image.Resampling.BOX))


def lit(thumbnails: Grey) -> Floats:
    """How much of each pixel is no black border, 0 to 1; the shape of the thumbnails."""
    return np.asarray(np.clip((thumbnails - np.float32(_BLACK)) / (_LIT - _BLACK), 0, 1))


def window(weights: Floats) -> tuple[Floats, Floats]:
    """Where the picture is between black borders: the stretch with the mean and the spread of what is lit.

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
    # An even stretch from m - s to m + s has the variance s^2 / 3
    spread = np.sqrt(3 * (weights * (places - middle[:, None]) ** 2).sum(axis=1))
    return middle - spread, middle + spread


def waves(start: Floats, stop: Floats, count: int) -> Floats:
    """Cosines of frequencies below `count` over windows, shape (N, count, EDGE).

    A pixel at the border counts as far as it is inside.
    """
    places, start, stop = np.arange(EDGE, dtype=np.float32), start[:, None], stop[:, None]
    inside = np.clip(np.minimum(places + 1, stop) - np.maximum(places, start), 0, 1)
    phases = (places + 0.5 - start) / (stop - start) * np.float32(np.pi)
    found = np.cos(np.arange(count, dtype=np.float32)[:, None] * phases[:, None])
    return np.asarray(found * (inside / inside.sum(axis=1, keepdims=True))[:, None])


def coins(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Floats:
    """Signs with which waves are added up, a column for each bit of a fingerprint; shape (D, 32 * WORDS).

    A quarter of the bits for each way to flip a picture, with the same coins: a flipped picture has the same bits, with
    the quarters in other places.

    Args:
        rows: How often each wave swings down the picture, shape (D,).
        columns: And across it.
    """
    heads = hash64(np.arange(len(rows))[:, None], np.arange(32 * WORDS // _FLIPS)) & np.uint64(1)
    signs = np.where(heads, np.float32(1), np.float32(-1))
    # Whether a wave changes its sign where its direction is flipped: those of odd frequency do
    across, down = (frequency[:, None] % 2 for frequency in (columns, rows))
    quarters = [
        np.where(across * (flip & 1) ^ down * (flip >> 1), -signs, signs) for flip in range(_FLIPS)
    ]
    return np.concatenate(quarters, axis=1)


def packed(sums: Floats) -> Bits:
    """The signs of sums by `coins`, shape (N, 32 * WORDS), as bits, shape (N, WORDS)."""
    return np.packbits(sums > 0, axis=1).view(np.uint32)


def word_order(pose: int) -> npt.NDArray[np.int64]:
    """Which word of a fingerprint stands in each place of that of the same picture in another pose; shape (WORDS,)."""
    quarter, inside = np.divmod(np.arange(WORDS), WORDS // _FLIPS)
    return np.asarray((quarter ^ pose) * (WORDS // _FLIPS) + inside)


def posed(bits: Bits, pose: int) -> Bits:
    """The fingerprints, shape (..., WORDS), that the same pictures have in another of the `POSES`."""
    return bits[..., word_order(pose)]


def differing(one: Bits, other: Bits) -> npt.NDArray[np.float64]:
    """Share of bits in which fingerprints differ, shape (...) of (..., WORDS); NaN where either says nothing."""
    share = np.bitwise_count(one ^ other).sum(axis=-1) / (32 * WORDS)
    return np.where(one.any(axis=-1) & other.any(axis=-1), share, np.nan)
