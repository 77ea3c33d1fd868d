"""Layers drawn over frames: classes in colours, and depth from near, which is bright, to far."""

import colorsys

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.format.layers import STEPS_PER_MILLIMETRE
from surgstream.shards.format.png import Picture
from surgstream.shards.inspection.packed_frames import Placed, read_images, spread
from surgstream.shards.inspection.sheet import Row
from surgstream.shards.reading.layers import Layer
from surgstream.shards.storage.stores import Storage

_OPACITY = 0.55
_GOLDEN = 0.618034
"""Share of the circle of hues between a class and the next one: those near each other differ most."""


def layer_strip(storage: Storage, layer: Layer, placed: Placed, most: int) -> Row | None:
    """Make a row of the frames that `shards.inspection.strip` shows, with a layer over them.

    Args:
        storage: The corpus.
        layer: The layer.
        placed: A video.
        most: The most frames.

    Returns:
        The row; None where its dataset lacks the layer, or none of these frames has a picture.

    Raises:
        CorruptSampleError: A frame or a picture is damaged.
        StorageError: The store fails.
    """
    if not layer.has(placed.shard.dataset):
        return None

    numbers = spread(placed.video.num_frames, most)
    frames = placed.frame_numbers
    wanted = [frames[number] for number in numbers]
    pictures = layer.pictures(placed.shard.dataset, placed.video.id, wanted)
    if all(picture is None for picture in pictures):
        return None

    cells = []
    images = read_images(storage, placed, numbers)
    for image, picture in zip(images, pictures, strict=True):
        if picture is None:
            cells.append((image, "none"))
        elif layer.manifest.values == "classes":
            there = [int(value) for value in np.unique(picture) if value]
            cells.append((with_classes(image, picture), " ".join(map(str, there[:8]))))
        else:
            cells.append((with_depth(image, picture), _range_of(picture)))
    return Row(f"{placed.name}   layer {layer.manifest.layer}", cells)


def with_classes(image: Image.Image, picture: Picture) -> Image.Image:
    """Tint each class of a mask, other than 0, in a colour of its own.

    Args:
        image: RGB.
        picture: Numbers of classes, (H, W).
    """
    pixels = np.asarray(image, np.float64)
    tinted = (1 - _OPACITY) * pixels + _OPACITY * _palette()[picture]
    shown = np.where(picture[..., None] > 0, tinted, pixels)
    return Image.fromarray(np.rint(shown).astype(np.uint8))


def with_depth(image: Image.Image, picture: Picture) -> Image.Image:
    """Show distances in gray where they are known: the nearest ones white, the farthest ones dark.

    Args:
        image: RGB.
        picture: Distances, (H, W), 0 where none is known.
    """
    known = picture > 0
    if not known.any():
        return image
    near, far = (int(value) for value in np.quantile(picture[known], [0.02, 0.98]))
    share = (picture.astype(np.float64) - near) / max(1, far - near)
    gray = np.rint(255 - 225 * share.clip(0, 1)).astype(np.uint8)
    return Image.fromarray(np.where(known[..., None], gray[..., None], np.asarray(image)))


def _palette() -> npt.NDArray[np.float64]:
    """A colour for each class, (256, 3)."""
    colours = [colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.9, 1.0) for number in range(256)]
    return 255 * np.array(colours)


def _range_of(picture: Picture) -> str:
    """The least and the largest known distance, in words."""
    known = picture[picture > 0] / STEPS_PER_MILLIMETRE
    return f"{known.min():.1f} to {known.max():.1f} mm" if known.size else "none"
