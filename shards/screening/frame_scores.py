"""Scores of a single frame by rules that need no model: black, blank, striped, written on or unlike tissue.

Each score is 0 to 1, and from 0.5 on it says yes. The rules know endoscopy: in tissue blood absorbs green, which
drapes, walls, steel, screens and most of what is warm do not.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from surgstream.shards.screening.regions import bounds, largest_of_cells

Pixels = npt.NDArray[np.uint8]


class Kind(StrEnum):
    """Kinds of frames that show no operation."""

    BLACK = "black"
    TEXT = "text"
    UNIFORM = "uniform"
    TEST_CARD = "test_card"
    OUT_OF_BODY = "out_of_body"


FrameScores = Mapping[Kind, float]
"""The scores of a frame, one for each kind."""

SURE = 0.5

DARK = 24
"""Highest value, of 255, that cameras and coding leave in black."""

_SMALL = 64  # width in pixels of the copy that most scores are taken on
_LIT = 32  # brightness, of 255, of what is not dark
_COLOURED = 64  # difference of red and blue, of 255, in a strong colour

# The surround: cells of the small copy, the share of one that is lit, and the least region to be cut out.
_CELL = 4
_MOSTLY = 0.5
_MIN_REGION = 0.05

# Slides: differences from the background, of 255, that are none and that are ink.
_NEAR = 8
_FAR = 60

# Slides: the least number of strokes in a row of writing, and the widest of them for the width of the frame.
_STROKES = 8
_WIDEST_STROKE = 0.02


def score_frame(pixels: Pixels) -> FrameScores:
    """Score a frame, or its lit region where black surrounds it: a disc, or a picture between bars.

    Args:
        pixels: RGB, shape (H, W, 3).
    """
    pixels = _without_surround(pixels)
    small = _shrunk(pixels).astype(np.float32)
    luma = small.mean(0)
    bright = float(np.percentile(luma, 99))

    # The share of it that is nearly of one colour.
    level = np.median(small, (1, 2), keepdims=True)
    difference = np.abs(small - level).max(0)
    near = float((difference <= _NEAR).mean())

    return {
        Kind.BLACK: _score(bright, none=2 * _LIT, sure=_LIT),
        Kind.UNIFORM: _score(near, none=0.8, sure=0.97) * (bright >= _LIT),
        Kind.TEST_CARD: _striped(small),
        Kind.TEXT: _written(pixels),
        Kind.OUT_OF_BODY: _unlike_tissue(small, luma),
    }


def kind_of(seen: FrameScores) -> Kind | None:
    """Find the first kind whose score is sure; None where nothing speaks against an operation."""
    return next((kind for kind in Kind if seen[kind] >= SURE), None)


def _score(value: float, *, none: float, sure: float) -> float:
    """Map a value linearly: 0 up to `none`, SURE at `sure`, and on to 1."""
    score = SURE * (value - none) / (sure - none)
    return min(1.0, max(0.0, score))


def _step(pixels: Pixels) -> int:
    """Compute the distance of pixels that make a copy about 64 pixels wide."""
    height, width, _ = pixels.shape
    step: int = max(1, min(width // _SMALL, height))
    return step


def _shrunk(pixels: Pixels) -> Pixels:
    """Make a copy about 64 pixels wide, in planes; shape (3, H, W)."""
    step = _step(pixels)
    small = pixels[step // 2 :: step, step // 2 :: step]
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def _without_surround(pixels: Pixels) -> Pixels:
    """Cut out the box of the largest lit region; keep all where none is large: letters on black slides are thin."""
    lit = _shrunk(pixels).max(0) > DARK
    region = largest_of_cells(lit, _CELL, _MOSTLY)
    if region.mean() < _MIN_REGION:
        return pixels

    left, top, right, bottom = (edge * _step(pixels) for edge in bounds(region))
    return pixels[top:bottom, left:right]


def _striped(small: npt.NDArray[np.float32]) -> float:
    """Score colour bars: in the upper half columns explain the colours, which are many, strong, red and blue."""
    num_rows = max(1, small.shape[1] // 2)
    upper = small[:, :num_rows]
    columns = upper.mean(1)
    strong = columns[:, np.ptp(columns, axis=0) > 96]

    # In tissue all columns lean to red.
    warmth = strong[0] - strong[2]
    has_red = (warmth > _COLOURED).any()
    has_blue = (warmth < -_COLOURED).any()
    if not (has_red and has_blue):
        return 0.0

    # The share of the variance that lies between columns.
    explained = float(columns.var(1).sum() / upper.var((1, 2)).sum())
    colours = np.unique(np.round(strong / 64), axis=1)
    has_many = len(colours.T) >= 4
    return _score(explained, none=0.55, sure=0.7) * has_many


def _written(pixels: Pixels) -> float:
    """Score a slide: one colour nearly everywhere, and rows that often leave it, for no longer than a stroke."""
    # Every other row will do, since letters are taller.
    planes = np.ascontiguousarray(pixels[::2].transpose(2, 0, 1))

    # The background: the middle of the most frequent of 32 levels, for each colour.
    levels = [int(np.bincount(plane.ravel() >> 3).argmax()) * 8 + 4 for plane in planes]
    level = np.array(levels, np.uint8)[:, None, None]

    # The absolute difference, without leaving uint8.
    off = np.maximum(planes, level) - np.minimum(planes, level)
    background = float((off <= _NEAR).all(axis=0).mean())
    ink = np.asarray((off > _FAR).any(axis=0))

    # The number of times that ink begins in each row.
    begins = ink[:, 1:] & ~ink[:, :-1]
    strokes = np.count_nonzero(begins, axis=1)
    has_lines = float((strokes >= _STROKES).mean()) >= 0.04
    most_ink = strokes.sum() * _WIDEST_STROKE * pixels.shape[1]
    is_thin = int(ink.sum()) <= most_ink
    return _score(background, none=0.3, sure=0.6) * bool(has_lines and is_thin)


def _unlike_tissue(small: npt.NDArray[np.float32], luma: npt.NDArray[np.float32]) -> float:
    """Score how little of the lit pixels is clearly more red than green, and hardly less red than blue.

    Blood absorbs green more than any other colour, which the light, its white balance and fat change least; wood, skin
    and lamps, which are warm too, lack blue rather than green.
    """
    red, green, blue = small
    lit = luma > _LIT
    if lit.mean() < 0.05:
        return 0.0

    tissue = lit & (red > 1.1 * green) & (red > 0.9 * blue)
    share = float(tissue.sum() / lit.sum())
    return _score(1 - share, none=0.3, sure=0.55)
