"""The black borders of a video: what an endoscope's picture, a disc or a rectangle, leaves of the screen."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.format.records import Box
from surgstream.shards.screening.frame_scores import DARK, Kind, Pixels, glance, kind_of
from surgstream.shards.screening.regions import Mask, Rectangle, bounds, largest_of_cells
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.picture import thumbnail
from surgstream.shards.video.sources import Film

NUM_SAMPLES = 48
"""Pictures that borders are looked for in."""

SAMPLE_SIDE = 512
"""Their longer side in pixels."""

LEAST_LIT = 4
"""Pictures that show something, to tell what is always black from what is dark now."""

LIT_SHARE = 0.1
"""Of the pictures in which a pixel must be lit, so that dark ones do not count, nor a few without borders."""

LEAST_BORDER = 0.01
"""Of the width and height together that has to be border, for it to be cropped."""

LEAST_KEPT = 0.1
"""Of the picture's area; a smaller rest would be no endoscope's picture."""

_BLOCK = 4


@dataclass(frozen=True)
class Border:
    """What lies within a border.

    Attributes:
        box: What, rounded outwards, in pixels of the stored picture.
        shape: Of the pictures that it was found in, stored: others, of another size say, may have another border.
    """

    box: Box
    shape: Shape


def find_border(film: Film) -> Border | None:
    """Where the picture lies within its black borders, by pictures from all over a video.

    Args:
        film: The video.

    Returns:
        What lies within it; None where there is no border worth a crop, or where too few pictures show anything.

    Raises:
        VideoError: It is no video.
        StorageError: The store fails.
    """
    by_shape = defaultdict[Shape, list[Pixels]](list)
    for picture in film.samples(NUM_SAMPLES):
        shape = film.shape(picture).stored
        by_shape[shape].append(thumbnail(picture, shape, SAMPLE_SIDE))
    if not by_shape:
        return None

    shape, small = max(by_shape.items(), key=lambda each: len(each[1]))
    kinds = [kind_of(glance(pixels)) for pixels in small]
    shown = [
        pixels for pixels, kind in zip(small, kinds, strict=True) if kind in (None, Kind.OUTSIDE)
    ]
    if (
        len(shown) < LEAST_LIT
    ):  # then what seems to be a card, or of one colour, may be what the camera shows
        shown = [
            pixels
            for pixels, kind in zip(small, kinds, strict=True)
            if kind not in (Kind.BLACK, Kind.TEXT)
        ]

    found = lit_box([pixels.max(2) > DARK for pixels in shown])
    if found is None:
        return None

    # From the thumbnail to stored pixels, right and bottom rounded up
    height, width = shown[0].shape[:2]
    across, down = shape.box.right - shape.box.left, shape.box.bottom - shape.box.top
    box = Box(
        left=shape.box.left + found[0] * across // width,
        top=shape.box.top + found[1] * down // height,
        right=shape.box.left - (-found[2] * across // width),
        bottom=shape.box.top - (-found[3] * down // height),
    )
    return Border(box, shape)


def lit_box(pictures: Sequence[Mask]) -> Rectangle | None:
    """The box of the largest connected region that is lit often enough.

    Args:
        pictures: Where each is lit; booleans of shape (H, W), the same for all.

    Returns:
        None where there is no border, or where it cannot be told.
    """
    num_lit = sum(bool(lit.any()) for lit in pictures)
    if num_lit < LEAST_LIT:
        return None

    often = np.sum(pictures, 0) >= max(2, LIT_SHARE * num_lit)
    height, width = often.shape
    region = largest_of_cells(often, _BLOCK, 0)
    if not region.any():
        return None

    left, top, right, bottom = bounds(region)
    kept = (right - left) / width, (bottom - top) / height
    if 2 - sum(kept) < LEAST_BORDER or kept[0] * kept[1] < LEAST_KEPT:
        return None
    return left, top, right, bottom
