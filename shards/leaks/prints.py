"""Fingerprints of a video: 256 bits for each second, of how the picture changes in the seconds around it.

What stands still says nothing: a logo, the edge of the endoscope's disc, a scene without motion. What moves is seen
coarsely, by its lowest frequencies in space and in time, so that it survives coding, scaling and a little cropping.
"""

import math

import numpy as np
import numpy.typing as npt

from shards.keyed import hash64

Grey = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]

EDGE = 64
"""Rows and columns of the thumbnails that fingerprints are taken of."""

FRAMES = 12
"""Successive thumbnails that a fingerprint is of."""

WORDS = 8
"""Words of 32 bits in a fingerprint."""

_WAVES, _BEATS = 5, 5
_BLACK, _LIT = 12, 36
_DARKEST = 16.0
_STILL = 0.004
_CUT = 0.5
_ODD = 0x5EED


def prints(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    """Fingerprints of a video.

    Args:
        thumbnails: One a second, shape (N, EDGE, EDGE).
        known: Which of them there are, shape (N,).

    Returns:
        Shape (N, WORDS); row n is of thumbnails n to n + FRAMES - 1. Zeros where some of them are missing or dark, where
        nothing moves, and where most of what moves is one cut.
    """
    found = np.zeros((len(thumbnails), WORDS), np.uint32)
    if len(thumbnails) < FRAMES:
        return found
    shapes = _shapes(thumbnails, known)
    runs = np.lib.stride_tricks.sliding_window_view(shapes, FRAMES, axis=0)
    times = (np.arange(FRAMES) + 0.5) / FRAMES
    beats = np.cos(np.pi * np.arange(1, _BEATS + 1) * times[:, None]).astype(np.float32)
    motion = (runs @ beats).reshape(len(runs), -1)
    signs = (hash64(_ODD, np.arange(motion.shape[1])[:, None], np.arange(32 * WORDS)) & np.uint64(1)).astype(np.float32)
    with np.errstate(invalid="ignore"):
        bits = motion @ (2 * signs - 1) > 0
    packed = np.packbits(bits, axis=1).view(np.uint32)
    packed[~_tells(shapes)] = 0
    found[: len(packed)] = packed
    return found


def _shapes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Floats:
    """The lowest frequencies of each thumbnail within the lit window, over its brightness; NaN where it is dark.

    Returns:
        Shape (N, D).
    """
    usual = thumbnails[known].mean(axis=0, dtype=np.float32) if known.any() else np.zeros((EDGE, EDGE), np.float32)
    down, across = (_waves(*bounds) for bounds in lit_window(usual))
    found = np.einsum("ky,nyx,lx->nkl", down, thumbnails, across, optimize=True, dtype=np.float32)
    bright = found[:, 0, 0]
    rows, columns = np.indices((_WAVES, _WAVES))
    low = (rows + columns < _WAVES) & (rows + columns > 0)
    usable = known & (bright >= _DARKEST)
    return np.where(usable[:, None], found[:, low] / np.maximum(bright, _DARKEST)[:, None], np.float32(np.nan))


def lit_window(usual: npt.NDArray[np.floating]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the picture is between black borders: the rectangle with the mean and the spread of what is lit.

    Moments, not edges, since text in a border hardly moves them; a disc's window is the same with borders and without.

    Args:
        usual: The mean thumbnail, shape (EDGE, EDGE).

    Returns:
        First and last row, first and last column, in pixels.
    """
    lit = np.clip((usual - _BLACK) / (_LIT - _BLACK), 1e-6, 1)
    places = np.arange(EDGE) + 0.5

    def bounds(weights: npt.NDArray[np.floating]) -> tuple[float, float]:
        middle = float(np.average(places, weights=weights))
        spread = math.sqrt(3 * float(np.average((places - middle) ** 2, weights=weights)))
        return middle - spread, middle + spread

    return bounds(lit.sum(axis=1)), bounds(lit.sum(axis=0))


def _waves(start: float, stop: float) -> Floats:
    """Cosines over [start, stop], shape (_WAVES, EDGE); a pixel at the border counts as far as it is inside."""
    places = np.arange(EDGE)
    inside = np.clip(np.minimum(places + 1, stop) - np.maximum(places, start), 0, 1)
    middles = (places + 0.5 - start) / (stop - start)
    waves = np.cos(np.pi * np.arange(_WAVES)[:, None] * middles) * inside / inside.sum()
    return waves.astype(np.float32)


def _tells(shapes: Floats) -> npt.NDArray[np.bool_]:
    """Which runs of FRAMES thumbnails move, and not by one cut alone; shape (N - FRAMES + 1,)."""
    steps = np.square(np.diff(shapes, axis=0)).sum(axis=1)
    runs = np.lib.stride_tricks.sliding_window_view(steps, FRAMES - 1)
    total = runs.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (total > FRAMES * _STILL**2) & (runs.max(axis=1) < _CUT * total)
