"""The black borders of a video: the part of the screen around an endoscope's picture, a disc or a rectangle."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.format.records import Box
from surgstream.shards.screening.frame_scores import DARK, Kind, Pixels, kind_of, score_frame
from surgstream.shards.screening.regions import Mask, Rectangle, bounds, largest_of_cells
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.picture import thumbnail
from surgstream.shards.video.sources import Film

NUM_SAMPLES = 48
"""Number of pictures in which borders are looked for."""

SAMPLE_SIDE = 512
"""Their longer side in pixels."""

MIN_LIT = 4
"""Least number of pictures that show something: in fewer, borders cannot be told from what is dark now."""

LIT_SHARE = 0.1
"""Share of the pictures in which a pixel must be lit: dark ones do not count, nor a few without borders."""

MIN_BORDER = 0.01
"""Least share of border in width and height together that is worth a crop."""

MIN_KEPT = 0.1
"""Least share of the area within the border; a smaller rest is no endoscope's picture."""

_BLOCK = 4


@dataclass(frozen=True)
class Border:
    """The inside of a border.

    Attributes:
        box: The inside, rounded outwards, in pixels of the stored picture.
        shape: Stored shape of the pictures that it was found in. Pictures of another shape may have another border.
    """

    box: Box
    shape: Shape


def find_border(film: Film) -> Border | None:
    """Find the black border of a video, by pictures from all over it.

    Args:
        film: The video.

    Returns:
        The border; None where it is not worth a crop, or where too few pictures show anything.

    Raises:
        VideoError: It is no video.
        StorageError: The store fails.
    """
    by_shape: dict[Shape, list[Pixels]] = defaultdict(list)
    for picture in film.samples(NUM_SAMPLES):
        shape = film.shape(picture).stored
        by_shape[shape].append(thumbnail(picture, shape, SAMPLE_SIDE))
    if not by_shape:
        return None

    shape, pictures = max(by_shape.items(), key=lambda each: len(each[1]))
    shown = _shown(pictures)
    found = lit_box([pixels.max(2) > DARK for pixels in shown])
    if found is None:
        return None

    height, width, _ = shown[0].shape
    return Border(_in_stored_pixels(found, width, height, shape.box), shape)


def _shown(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Select the pictures that show what the camera sees."""
    kinds = [kind_of(score_frame(pixels)) for pixels in pictures]
    by_kind = list(zip(kinds, pictures, strict=True))

    shown = [pixels for kind, pixels in by_kind if kind in (None, Kind.OUT_OF_BODY)]
    if len(shown) >= MIN_LIT:
        return shown
    # Pictures that seem to be cards, or of one colour, may then be what the camera sees.
    return [pixels for kind, pixels in by_kind if kind not in (Kind.BLACK, Kind.TEXT)]


def _in_stored_pixels(rectangle: Rectangle, width: int, height: int, box: Box) -> Box:
    """Scale a rectangle in a thumbnail of a box to stored pixels, rounded outwards."""
    left, top, right, bottom = rectangle
    box_width = box.right - box.left
    box_height = box.bottom - box.top
    return Box(
        left=box.left + left * box_width // width,
        top=box.top + top * box_height // height,
        right=box.left - (-right * box_width // width),
        bottom=box.top - (-bottom * box_height // height),
    )


def lit_box(pictures: Sequence[Mask]) -> Rectangle | None:
    """Find the box of the largest connected region that is lit often enough.

    Args:
        pictures: The lit pixels of each picture; shape (H, W), the same for all.

    Returns:
        The box; None where there is no border, or where it cannot be told.
    """
    num_lit = sum(bool(lit.any()) for lit in pictures)
    if num_lit < MIN_LIT:
        return None

    often = np.sum(pictures, 0) >= max(2, LIT_SHARE * num_lit)
    height, width = often.shape
    region = largest_of_cells(often, _BLOCK, 0)
    if not region.any():
        return None

    left, top, right, bottom = bounds(region)
    kept_width = (right - left) / width
    kept_height = (bottom - top) / height
    if 2 - (kept_width + kept_height) < MIN_BORDER or kept_width * kept_height < MIN_KEPT:
        return None
    return left, top, right, bottom
