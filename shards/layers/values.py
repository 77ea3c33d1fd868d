"""The values of a layer's pictures: read from images, given their meaning, and brought to the size of the frame."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.corpus.layers import LayerConfig
from surgstream.shards.errors import LayerError, VideoError
from surgstream.shards.format.layers import STEPS_PER_MILLIMETRE
from surgstream.shards.format.png import Picture
from surgstream.shards.video.container.files import MAX_PIXELS
from surgstream.shards.video.container.shape import Shape, Turn
from surgstream.shards.video.picture import Framing

LOSSLESS = ("PNG", "TIFF", "BMP")
"""Pillow's names of image formats that keep every value."""

Raw = npt.NDArray[np.generic]
"""Values as a file has them: (H, W), or (H, W, C) of colours."""

_GRAY = ("1", "L", "P", "I", "F")
_COLOURS = ("LA", "RGB", "RGBA")

_OPPOSITE: dict[Turn, Turn] = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}
"""Turns that another one undoes; each of the others undoes itself."""


def read_image(data: bytes, where: str) -> Raw:
    """Decode an image file.

    Args:
        data: The whole file.
        where: Its name in messages.

    Returns:
        The values, (H, W); those of a palette are its indices. (H, W, C) where it has colours.

    Raises:
        LayerError: It is of a kind that does not keep values.
        VideoError: It is damaged.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if image.format not in LOSSLESS:
            raise LayerError(
                f"{where}: expected an image that keeps every value ({', '.join(LOSSLESS)}), got "
                f"{image.format}"
            )
        if image.width * image.height > MAX_PIXELS:
            raise LayerError(f"{where}: expected at most {MAX_PIXELS} pixels, got {image.size}")
        if image.mode == "1":
            image = image.convert("L")
        if image.mode not in (*_GRAY, *_COLOURS) and not image.mode.startswith("I;16"):
            raise LayerError(f"{where}: expected a gray image, got one of mode {image.mode}")
        return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(
            f"{where}: cannot be read as an image: {error}",
            nameless="an image of it cannot be read",
        ) from None


def meant(raw: Raw, config: LayerConfig, where: str) -> Picture:
    """Give values their meaning.

    Args:
        raw: The values of a file.
        config: The settings of the layer.
        where: The name of the file in messages.

    Returns:
        Classes as they are, 8 bits, or depth in 1 / `STEPS_PER_MILLIMETRE` mm, 16 bits; (H, W).

    Raises:
        LayerError: They are colours, or outside of what the layer can hold.
    """
    if config.values == "classes":
        return _classes(raw, where)
    return _depth(raw, config.millimetres_per_unit or 1.0, where)


def _classes(raw: Raw, where: str) -> Picture:
    if raw.ndim == 3:
        raw = _gray(raw, where)
    if raw.dtype == np.uint8:
        return raw.astype(np.uint8, copy=False)
    if not np.issubdtype(raw.dtype, np.integer):
        raise LayerError(f"{where}: expected whole numbers, of classes, got {raw.dtype}")

    least, most = int(raw.min()), int(raw.max())
    if least < 0 or most > 255:
        raise LayerError(
            f"{where}: expected numbers of classes, from 0 to 255, got {least} to {most}; if they "
            "are distances, set millimetres_per_unit of the layer"
        )
    return raw.astype(np.uint8)


def _gray(raw: Raw, where: str) -> Raw:
    """Take the one channel of a gray picture that was stored in several."""
    num_colours = raw.shape[2] - (raw.shape[2] in (2, 4))
    differs = (raw[..., :num_colours] != raw[..., :1]).any(axis=2)
    differs |= (raw[..., num_colours:] != 255).any(axis=2)
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        raise LayerError(
            f"{where}: expected a gray image, whose values are the numbers of classes, got colours "
            f"such as {raw[row, column].tolist()} in row {row}, column {column}; give each colour "
            "its number first"
        )
    return raw[..., 0]


def _depth(raw: Raw, millimetres: float, where: str) -> Picture:
    if raw.ndim == 3:
        raise LayerError(
            f"{where}: expected a gray image of distances, got {raw.shape[2]} channels"
        )
    steps = raw.astype(np.float64) * (millimetres * STEPS_PER_MILLIMETRE)
    # Nothing is known where a value is no number.
    steps = np.rint(np.where(np.isfinite(steps), steps, 0.0))

    largest = np.iinfo(np.uint16).max
    least, most = float(steps.min()), float(steps.max())
    if least < 0 or most > largest:
        raise LayerError(
            f"{where}: expected distances from 0 to {largest / STEPS_PER_MILLIMETRE:g} mm, got "
            f"{least / STEPS_PER_MILLIMETRE:g} to {most / STEPS_PER_MILLIMETRE:g} at "
            f"{millimetres:g} mm a unit; correct millimetres_per_unit"
        )
    return steps.astype(np.uint16)


def framed(picture: Picture, shape: Shape, framing: Framing, where: str) -> Picture:
    """Bring a picture to the crop and the size of its frame; each pixel takes the value of the nearest one.

    Args:
        picture: Values for what the video shows, upright, as large as it is stored; (H, W).
        shape: The shape of the video's picture.
        framing: The steps that made the frame of it.
        where: The name of the file in messages.

    Returns:
        Values for the frame, (H, W): 0 where the picture does not fill it.

    Raises:
        LayerError: It has another size than the picture of the video.
    """
    box = shape.box
    width = box.right - box.left
    height = box.bottom - box.top
    upright = (height, width) if shape.is_quarter_turn else (width, height)
    if picture.shape != (upright[1], upright[0]):
        raise LayerError(
            f"{where}: expected {upright[0]}x{upright[1]} pixels, as the picture of its video has, "
            f"got {picture.shape[1]}x{picture.shape[0]}"
        )

    stored = turned(picture, _OPPOSITE.get(shape.turn, shape.turn))
    left, top, right, bottom = framing.window
    columns = _nearest(range(left, right), shape.width, framing.scaled[0]) - box.left
    rows = _nearest(range(top, bottom), shape.height, framing.scaled[1]) - box.top
    # A crop is rounded, and so may reach one pixel beyond what is shown.
    columns = columns.clip(0, width - 1)
    rows = rows.clip(0, height - 1)
    kept = turned(stored[np.ix_(rows, columns)], shape.turn)

    frame_width, frame_height = framing.size
    if kept.shape == (frame_height, frame_width):
        return kept
    canvas = np.zeros((frame_height, frame_width), picture.dtype)
    first_row = (frame_height - kept.shape[0]) // 2
    first_column = (frame_width - kept.shape[1]) // 2
    canvas[first_row:, first_column:][: kept.shape[0], : kept.shape[1]] = kept
    return canvas


def _nearest(pixels: range, stored: int, scaled: int) -> npt.NDArray[np.int64]:
    """The stored pixels whose area holds the centres of pixels of a picture that was scaled."""
    return (2 * np.array(pixels, np.int64) + 1) * stored // (2 * scaled)


def turned(picture: Picture, turn: Turn) -> Picture:
    """Transpose a picture as Pillow does, whatever its type; (H, W)."""
    match turn:
        case None:
            return picture
        case Image.Transpose.FLIP_LEFT_RIGHT:
            return picture[:, ::-1]
        case Image.Transpose.FLIP_TOP_BOTTOM:
            return picture[::-1]
        case Image.Transpose.ROTATE_90:
            return np.rot90(picture, 1)
        case Image.Transpose.ROTATE_180:
            return np.rot90(picture, 2)
        case Image.Transpose.ROTATE_270:
            return np.rot90(picture, 3)
        case Image.Transpose.TRANSPOSE:
            return picture.T
        case Image.Transpose.TRANSVERSE:
            return np.rot90(picture, 2).T
