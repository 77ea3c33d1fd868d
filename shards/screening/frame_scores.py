"""What a single frame shows, by rules that need no model: how black, blank, striped, written on or unlike tissue it is.

Each score is 0 to 1, and from 0.5 it says yes. The rules know endoscopy: in tissue blood absorbs green, which
drapes, walls, steel, screens and most of what is warm do not.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from surgstream.shards.screening.regions import bounds, largest_of_cells

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

DARK = 24
"""Black, of 255, as cameras and coding leave it."""

_SMALL = 64
_LIT = 32
_CELL, _MOSTLY, _LEAST_REGION = 4, 0.5, 0.05
_COLOURED = 64
_NEAR, _FAR = 8, 60
_STROKES, _WIDEST_STROKE = 8, 0.02


def glance(pixels: Pixels) -> Glance:
    """Score a frame, or what is lit of it where that is a region in black: a disc, or a picture between bars.

    Args:
        pixels: RGB, shape (H, W, 3).
    """
    pixels = _without_surround(pixels)
    small = _shrunk(pixels).astype(np.float32)
    luma = small.mean(0)
    bright = float(np.percentile(luma, 99))
    # How much of it is nearly of one colour
    level = np.median(small, (1, 2), keepdims=True)
    near = float((np.abs(small - level).max(0) <= _NEAR).mean())

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


def _step(pixels: Pixels) -> int:
    """Every so many-th pixel makes a picture about 64 pixels wide, and at least one."""
    height, width, _ = pixels.shape
    step: int = max(1, min(width // _SMALL, height))
    return step


def _shrunk(pixels: Pixels) -> Pixels:
    """About 64 pixels wide, in planes; shape (3, H, W)."""
    step = _step(pixels)
    return np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step].transpose(2, 0, 1))


def _without_surround(pixels: Pixels) -> Pixels:
    """The box of the largest lit region; all of it where none is large, as on black slides, whose letters are thin."""
    lit = _shrunk(pixels).max(0) > DARK
    region = largest_of_cells(lit, _CELL, _MOSTLY)
    if region.mean() < _LEAST_REGION:
        return pixels
    left, top, right, bottom = (edge * _step(pixels) for edge in bounds(region))
    return pixels[top:bottom, left:right]


def _striped(small: npt.NDArray[np.float32]) -> float:
    """Colour bars: in the upper half the columns tell all of the colours, and these are many, strong, red and blue."""
    upper = small[:, : max(1, small.shape[1] // 2)]
    columns = upper.mean(1)
    strong = columns[:, np.ptp(columns, axis=0) > 96]
    warmth = strong[0] - strong[2]
    if not (
        (warmth > _COLOURED).any() and (warmth < -_COLOURED).any()
    ):  # of tissue all columns lean to red
        return 0.0
    # The share of the variance that lies between columns
    explained = float(columns.var(1).sum() / upper.var((1, 2)).sum())
    colours = len(np.unique(np.round(strong / 64), axis=1).T)
    return _score(explained, none=0.55, sure=0.7) * (colours >= 4)


def _written(pixels: Pixels) -> float:
    """A slide: one colour nearly everywhere, and rows that often leave it, and for no longer than a stroke."""
    planes = np.ascontiguousarray(
        pixels[::2].transpose(2, 0, 1)
    )  # every other row: letters are taller
    # The middle of the most frequent of 32 levels, for each colour
    levels = [int(np.bincount(plane.ravel() >> 3).argmax()) * 8 + 4 for plane in planes]
    level = np.array(levels, np.uint8)[:, None, None]
    # The absolute difference, without leaving uint8
    off = np.maximum(planes, level) - np.minimum(planes, level)
    background = float((off <= _NEAR).all(axis=0).mean())
    ink = np.asarray((off > _FAR).any(axis=0))

    # How often ink begins in each row
    strokes = np.count_nonzero(ink[:, 1:] & ~ink[:, :-1], axis=1)
    lines = float((strokes >= _STROKES).mean()) >= 0.04
    thin = int(ink.sum()) <= strokes.sum() * _WIDEST_STROKE * pixels.shape[1]
    return _score(background, none=0.3, sure=0.6) * bool(lines and thin)


def _unlike_tissue(small: npt.NDArray[np.float32], luma: npt.NDArray[np.float32]) -> float:
    """How little of what is lit is clearly more red than green, and hardly less red than blue.

    Blood absorbs green more than any other colour, which the light, its white balance and fat change least; wood, skin
    and lamps, which are warm too, lack blue rather than green.
    """
    red, green, blue = small
    lit = luma > _LIT
    if lit.mean() < 0.05:
        return 0.0
    tissue = lit & (red > 1.1 * green) & (red > 0.9 * blue)
    return _score(1 - float(tissue.sum() / lit.sum()), none=0.3, sure=0.55)
