"""What a single frame shows, by rules that need no model: how black, blank, striped, written on or unlike tissue it is.

Each score is 0 to 1, and from 0.5 it says yes. The rules know endoscopy: tissue, blood and fat reflect more red than
blue, which drapes, walls, steel and screens do not.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Kind(StrEnum):
    """What a frame shows instead of an operation."""

    BLACK = "black"
    TEXT = "text"
    BLANK = "blank"
    TEST_CARD = "test_card"
    OUTSIDE = "outside"


Glance = Mapping[Kind, float]
"""A score for each kind."""

SURE = 0.5

_SMALL = 64
_LIT = 32
_NEAR, _FAR = 8, 60
_STROKES, _WIDEST_STROKE = 8, 0.02


def glance(pixels: Pixels) -> Glance:
    """Score a frame.

    Args:
        pixels: RGB, shape (H, W, 3).
    """
    small = _shrunk(pixels).astype(np.float32)
    luma = small.mean(2)
    bright = float(np.percentile(luma, 99))
    level = np.median(small, (0, 1))
    near = float((np.abs(small - level).max(2) <= _NEAR).mean())
    return {
        Kind.BLACK: _score(bright, none=2 * _LIT, sure=_LIT),
        Kind.BLANK: _score(near, none=0.8, sure=0.97) * (bright >= _LIT),
        Kind.TEST_CARD: _striped(small),
        Kind.TEXT: _written(pixels),
        Kind.OUTSIDE: _unlike_tissue(small, luma),
    }


def kind_of(seen: Glance) -> Kind | None:
    """The first kind whose score is sure; None where it is an operation, for all that can be told."""
    return next((kind for kind in Kind if seen[kind] >= SURE), None)


def _score(value: float, *, none: float, sure: float) -> float:
    """0 up to `none`, SURE at `sure`, and on to 1 at the same slope."""
    return min(1.0, max(0.0, SURE * (value - none) / (sure - none)))


def _shrunk(pixels: Pixels) -> Pixels:
    """About 64 pixels wide, every so many-th of them, and at least one."""
    step = max(1, min(pixels.shape[1] // _SMALL, len(pixels)))
    return pixels[step // 2 :: step, step // 2 :: step]


def _striped(small: npt.NDArray[np.float32]) -> float:
    """Colour bars: in the upper half the columns tell all of the colours, and these are many and strong."""
    upper = small[: max(1, len(small) // 2)]
    columns = upper.mean(0)
    spread = float(upper.var((0, 1)).sum())
    explained = float(columns.var(0).sum()) / spread if spread > 100 else 0.0
    strong = columns[np.ptp(columns, axis=1) > 96]
    colours = len(np.unique(np.round(strong / 64), axis=0))
    return _score(explained, none=0.7, sure=0.9) * (colours >= 4)


def _written(pixels: Pixels) -> float:
    """A slide: one colour nearly everywhere, and rows that often leave it, and for no longer than a stroke."""
    planes = np.ascontiguousarray(pixels[::2].transpose(2, 0, 1))  # every other row: letters are taller
    levels = [int(np.bincount(plane.ravel() >> 3).argmax()) * 8 + 4 for plane in planes]
    level = np.array(levels, np.uint8)[:, None, None]
    off = np.maximum(planes, level) - np.minimum(planes, level)
    background = float((off[1] <= _NEAR).mean())
    ink = np.asarray((off > _FAR).any(axis=0))
    strokes = np.count_nonzero(ink[:, 1:] & ~ink[:, :-1], axis=1)
    lines = float((strokes >= _STROKES).mean()) >= 0.04
    thin = int(ink.sum()) <= strokes.sum() * _WIDEST_STROKE * pixels.shape[1]
    return _score(background, none=0.3, sure=0.6) * bool(lines and thin)


def _unlike_tissue(small: npt.NDArray[np.float32], luma: npt.NDArray[np.float32]) -> float:
    """How little of what is lit is more red than blue, and no less red than green."""
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    lit = luma > _LIT
    if lit.mean() < 0.05:
        return 0.0
    tissue = lit & (red > 1.15 * blue) & (red > 0.95 * green)
    return _score(1 - float(tissue.sum() / lit.sum()), none=0.3, sure=0.65)
