"""The black borders of a video: what an endoscope's picture, a disc or a rectangle, leaves of the screen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shards.packed import Box
from shards.video.film import Film
from shards.video.picture import thumbnail
from shards.views.glance import Kind, Pixels, glance, kind_of
from shards.views.regions import Mask, Rectangle, bounds, largest_region

NUM_SAMPLES = 48
"""Pictures that borders are looked for in."""

SAMPLE_SIDE = 512
"""Their longer side in pixels."""

DARK = 24
"""Black, of 255, as cameras and coding leave it."""

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
    """What lies within a border: `box`, rounded outwards, in pixels of the stored picture; and `shown`, a picture."""

    box: Box
    shown: Pixels


def find_border(film: Film) -> Border | None:
    """Where the picture lies within its black borders, by pictures from all over a video.

    Args:
        film: The video.

    Returns:
        None where there is no border worth a crop, or where too few pictures show anything.

    Raises:
        VideoError: It is no video.
        StorageError: The store fails.
    """
    header = film.header()
    size = header.width, header.height
    same_size = (picture for picture in film.samples(NUM_SAMPLES) if (picture.width, picture.height) == size)
    small = (thumbnail(picture, SAMPLE_SIDE) for picture in same_size)
    shown = [pixels for pixels in small if kind_of(glance(pixels)) in (None, Kind.OUTSIDE)]
    found = lit_box([pixels.max(2) > DARK for pixels in shown])
    if found is None:
        return None
    height, width = shown[0].shape[:2]
    box = Box(
        left=found[0] * header.width // width,
        top=found[1] * header.height // height,
        right=-(-found[2] * header.width // width),
        bottom=-(-found[3] * header.height // height),
    )
    return Border(box, max(shown, key=lambda pixels: float(pixels.mean())))


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
    region = often & np.kron(largest_region(_blocks(often)), np.ones((_BLOCK, _BLOCK), bool))[:height, :width]
    if not region.any():
        return None
    left, top, right, bottom = bounds(region)
    kept = (right - left) / width, (bottom - top) / height
    if 2 - sum(kept) < LEAST_BORDER or kept[0] * kept[1] < LEAST_KEPT:
        return None
    return left, top, right, bottom


def _blocks(mask: Mask) -> Mask:
    """Whether anything is lit in each block."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % _BLOCK), (0, -width % _BLOCK)))
    blocks = padded.reshape(-(-height // _BLOCK), _BLOCK, -(-width // _BLOCK), _BLOCK)
    return np.asarray(blocks.any((1, 3)), bool)
