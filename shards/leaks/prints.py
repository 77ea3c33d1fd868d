"""Fingerprints of a video: 256 bits for each second, of how the picture changes in the seconds around it.

What stands still says nothing: a logo, the edge of the endoscope's disc, a scene without motion. What moves is seen
coarsely, by its lowest frequencies in space and in time, so that it survives coding, scaling and a little cropping.
"""

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
"""Frequencies in space, in all directions together, and in time."""

_BLACK, _LIT, _DARKEST = 12, 36, 16
"""Levels of grey: of borders, of what is surely none, and of the darkest pictures that are looked at."""

_STILL, _CUT = 0.004, 0.5
"""A step from one thumbnail to the next that is none, and the share of a run's motion that makes one a cut."""

_BLOCK = 128
"""Fingerprints taken at once."""


def prints(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    """Fingerprints of a video.

    Args:
        thumbnails: One a second, shape (N, EDGE, EDGE).
        known: Which of them there are, shape (N,).

    Returns:
        Shape (N, WORDS); row n is of thumbnails n to n + FRAMES - 1. Zeros where one of them is missing or dark, where
        nothing moves, and where most of what moves is one cut.
    """
    found = np.zeros((len(thumbnails), WORDS), np.uint32)
    for start in range(0, len(thumbnails) - FRAMES + 1, _BLOCK):
        block = slice(start, start + _BLOCK + FRAMES - 1)
        bits = _prints(thumbnails[block], known[block])
        found[start : start + len(bits)] = bits
    return found


def _prints(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    """The same of a video that is short enough to do it at once; shape (N - FRAMES + 1, WORDS)."""
    shapes, usable = _shapes(thumbnails, known)
    steps = np.square(np.diff(shapes, axis=1)).sum(axis=2)
    total = steps.sum(axis=1)
    tells = usable & (total > FRAMES * _STILL**2) & (steps.max(axis=1) < _CUT * total)
    times = (np.arange(FRAMES) + 0.5) / FRAMES
    beats = np.cos(np.pi * np.arange(1, _BEATS + 1)[:, None] * times).astype(np.float32)
    motion = (beats @ shapes).reshape(len(shapes), -1)
    coins = hash64(np.arange(motion.shape[1])[:, None], np.arange(32 * WORDS)) & np.uint64(1)
    bits = motion @ np.where(coins, np.float32(1), np.float32(-1)) > 0
    return np.where(tells[:, None], np.packbits(bits, axis=1).view(np.uint32), np.uint32(0))


def _shapes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The lowest frequencies of each thumbnail over its brightness, within the window that is lit in a run of them.

    Returns:
        Shape (runs, FRAMES, D), and which runs lack no frame and have none that is dark.
    """
    runs = np.lib.stride_tricks.sliding_window_view(thumbnails, FRAMES, axis=0).transpose(0, 3, 1, 2)
    lit = np.clip((thumbnails - np.float32(_BLACK)) / (_LIT - _BLACK), 0, 1)
    down, across = (_waves(*_window(lit.mean(axis=axis))) for axis in (2, 1))
    found = down[:, None] @ runs.astype(np.float32) @ across[:, None].swapaxes(2, 3)
    bright = found[:, :, 0, 0]
    rows, columns = np.indices((_WAVES, _WAVES))
    low = (rows + columns < _WAVES) & (rows + columns > 0)
    usable = (bright.min(axis=1) >= _DARKEST) & np.lib.stride_tricks.sliding_window_view(known, FRAMES).min(axis=1)
    return found[:, :, low] / np.maximum(bright, _DARKEST)[:, :, None], usable


def _window(lit: Floats) -> tuple[Floats, Floats]:
    """Where the picture is between black borders: the stretch with the mean and the spread of what is lit.

    Moments, not edges, since text in a border hardly moves them; a disc's window is the same with borders and without.

    Args:
        lit: How much of each row, or column, of each thumbnail is lit, shape (N, EDGE).

    Returns:
        First and last row, or column, in each run of FRAMES; shape (runs,).
    """
    weights = np.lib.stride_tricks.sliding_window_view(lit, FRAMES, axis=0).mean(axis=2) + np.float32(1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    places = np.arange(EDGE, dtype=np.float32) + np.float32(0.5)
    middle = weights @ places
    spread = np.sqrt(3 * (weights * (places - middle[:, None]) ** 2).sum(axis=1))
    return middle - spread, middle + spread


def _waves(start: Floats, stop: Floats) -> Floats:
    """Cosines over windows, shape (runs, _WAVES, EDGE); a pixel at the border counts as far as it is inside."""
    places, start, stop = np.arange(EDGE, dtype=np.float32), start[:, None], stop[:, None]
    inside = np.clip(np.minimum(places + 1, stop) - np.maximum(places, start), 0, 1)
    phases = (places + 0.5 - start) / (stop - start) * np.float32(np.pi)
    waves = np.cos(np.arange(_WAVES, dtype=np.float32)[:, None] * phases[:, None])
    return np.asarray(waves * (inside / inside.sum(axis=1, keepdims=True))[:, None])
