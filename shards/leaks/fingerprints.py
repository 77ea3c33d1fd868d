"""Fingerprints of a video: 256 bits for each second, of how the picture changes in the seconds around it.

What stands still says nothing: a logo, the edge of the endoscope's disc, a scene without motion. What moves is seen
coarsely, by its lowest frequencies in space and in time, so that it survives coding, scaling and a little cropping.
"""

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from surgstream.shards.leaks.thumbnails import (
    DARKEST,
    WORDS,
    Bits,
    Floats,
    Grey,
    coins,
    lit,
    packed,
    waves,
    window,
)

FRAMES = 12
"""Successive thumbnails that a fingerprint is of."""

_WAVES = 5
"""Frequencies in space, in all directions together."""

_BEATS = 5
"""Frequencies in time."""

_DOWN, _ACROSS = np.indices((_WAVES, _WAVES))
_USED = _DOWN + _ACROSS < _WAVES
_ROWS = _DOWN[_USED][1:]
_COLUMNS = _ACROSS[_USED][1:]
"""The swings of each wave down and across the picture. The first, its brightness, is left out."""

_COINS = coins(np.tile(_ROWS, _BEATS), np.tile(_COLUMNS, _BEATS))

_STILL = 0.004
"""The largest step from one thumbnail to the next that is no motion."""

_CUT = 0.5
"""The share of a run's motion from which on a step is a cut."""

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
        # Blocks share FRAMES - 1 thumbnails, so no run is cut.
        block = slice(start, start + _BLOCK + FRAMES - 1)
        bits = _prints(thumbnails[block], known[block])
        found[start : start + len(bits)] = bits
    return found


def _prints(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    """Fingerprints of a video that is short enough to do it at once; shape (N - FRAMES + 1, WORDS)."""
    shapes, usable = _shapes(thumbnails, known)
    steps = np.square(np.diff(shapes, axis=1)).sum(axis=2)
    total = steps.sum(axis=1)
    moves = total > FRAMES * _STILL**2
    is_cut = steps.max(axis=1) >= _CUT * total
    tells = usable & moves & ~is_cut

    times = (np.arange(FRAMES) + 0.5) / FRAMES
    frequencies = np.arange(1, _BEATS + 1)[:, None]
    beats = np.cos(np.pi * frequencies * times).astype(np.float32)
    motion = beats @ shapes

    # Slow beats are the strongest, and one of them alone, a fade, would make unlike videos alike.
    energy = np.square(motion).sum(axis=2, keepdims=True)
    strength = np.sqrt(energy + np.float32(1e-12))
    evened = (motion / np.sqrt(strength)).reshape(len(shapes), -1)

    return np.where(tells[:, None], packed(evened @ _COINS), np.uint32(0))


def _shapes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The lowest frequencies of each thumbnail over its brightness, within the window that is lit in a run of them.

    Returns:
        Shape (runs, FRAMES, D), and which runs lack no frame and have none that is dark.
    """
    # Shape (runs, FRAMES, EDGE, EDGE).
    runs = sliding_window_view(thumbnails, FRAMES, axis=0).transpose(0, 3, 1, 2)

    here = lit(thumbnails)
    down = waves(*window(_over_runs(here.mean(axis=2))), _WAVES)
    across = waves(*window(_over_runs(here.mean(axis=1))), _WAVES)
    # Cosines down times pictures times cosines across: shape (runs, FRAMES, _WAVES, _WAVES).
    columns = down[:, None] @ runs.astype(np.float32)
    found = columns @ across[:, None].swapaxes(2, 3)

    # Frequency 0 in both directions is the mean.
    bright = found[:, :, 0, 0]
    is_bright = bright.min(axis=1) >= DARKEST
    is_known = sliding_window_view(known, FRAMES).min(axis=1)
    brightness: Floats = np.maximum(bright, DARKEST)[:, :, None]
    shapes = found[:, :, _ROWS, _COLUMNS] / brightness
    return shapes, is_bright & is_known


def _over_runs(values: Floats) -> Floats:
    """Means over each run of FRAMES rows."""
    return np.asarray(sliding_window_view(values, FRAMES, axis=0).mean(axis=2))
