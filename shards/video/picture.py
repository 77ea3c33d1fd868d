"""From a decoded picture to a JPEG: upright, with square pixels, in RGB."""

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import PIL
from av.video.reformatter import Interpolation
from PIL import Image, features

from surgstream.shards.errors import VideoError
from surgstream.shards.format.records import Box
from surgstream.shards.video.container.files import MOST_PIXELS
from surgstream.shards.video.container.shape import Shape, Turn

# Bicubic, rounded the same way on every CPU.
_SCALING = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)

# What NVDEC gives, by the layout in which decoders on the CPU give the same, and which scales otherwise.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p16le"}


def packed_size(
    width: int, height: int, short_side: int, pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int]:
    """The size that a picture is packed at: its shorter side becomes `short_side`, unless it is smaller already.

    Args:
        width: Source width in pixels.
        height: Source height in pixels.
        short_side: Wanted shorter side in pixels.
        pixel_aspect: Width of a source pixel over its height; packed ones are square.

    Returns:
        Width and height in pixels; they need not be even.
    """
    shown_width = width * pixel_aspect
    scale = min(Fraction(1), short_side / min(shown_width, Fraction(height)))
    return max(1, round(shown_width * scale)), max(1, round(height * scale))


@dataclass(frozen=True)
class Framing:
    """How a picture becomes a frame.

    Attributes:
        scaled: Width and height of the whole picture once it is scaled.
        window: What of that is kept: left, top, right, bottom.
        turn: What turns it upright.
        size: Width and height of the frame. Where the window does not fill it, the rest is black.
    """

    scaled: tuple[int, int]
    window: tuple[int, int, int, int]
    turn: Turn
    size: tuple[int, int]


def frame(shape: Shape, short_side: int, crop: Box | None = None) -> Framing:
    """How the first picture of a video becomes a frame, which decides the size of all.

    Args:
        shape: What it is like.
        short_side: See `packed_size`.
        crop: What is kept of it; all that is shown if None.
    """
    box = crop or shape.box
    size = packed_size(box.right - box.left, box.bottom - box.top, short_side, shape.pixel_aspect)
    return _framing(shape, box, size, _turned(size, shape))


def fit(shape: Shape, size: tuple[int, int], crop: Box | None = None) -> Framing:
    """How a picture becomes a frame of a given size: as large as it fits into it, in its own proportions.

    Args:
        shape: What it is like.
        size: Width and height of the frame.
        crop: See `frame`.
    """
    box = crop or shape.box
    room = _turned(size, shape)
    shown = (box.right - box.left) * shape.pixel_aspect, Fraction(box.bottom - box.top)
    scale = min(room[0] / shown[0], room[1] / shown[1])
    # The scale at which the whole picture, of which the box may be little, has MOST_PIXELS
    most = Fraction(math.sqrt(MOST_PIXELS / (shape.width * shape.pixel_aspect * shape.height)))
    if scale <= most and _rounds_to(shown, room):
        return _framing(shape, box, room, size)

    scale = min(scale, most)
    return _framing(
        shape, box, (max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale))), size
    )


def _rounds_to(shown: tuple[Fraction, Fraction], size: tuple[int, int]) -> bool:
    """Whether there is a scale at which both sides round to a size."""
    least = max((side - Fraction(1, 2)) / own for own, side in zip(shown, size, strict=True))
    most = min((side + Fraction(1, 2)) / own for own, side in zip(shown, size, strict=True))
    return least <= most


def _framing(shape: Shape, box: Box, kept: tuple[int, int], size: tuple[int, int]) -> Framing:
    """Scale a picture so that a box of it comes to the size `kept`."""
    across, down = Fraction(kept[0], box.right - box.left), Fraction(kept[1], box.bottom - box.top)
    scaled = max(kept[0], round(shape.width * across)), max(kept[1], round(shape.height * down))
    # Rounding must not push the window over the edge
    left, top = (
        min(round(box.left * across), scaled[0] - kept[0]),
        min(round(box.top * down), scaled[1] - kept[1]),
    )
    return Framing(scaled, (left, top, left + kept[0], top + kept[1]), shape.turn, size)


def _turned(size: tuple[int, int], shape: Shape) -> tuple[int, int]:
    """A size before a picture is turned, by that afterwards, and the other way round."""
    return (size[1], size[0]) if shape.is_quarter_turn else size


def to_image(picture: Any, framing: Framing) -> Image.Image:
    """Scale a picture, cut its window out, turn it, and put it in the middle of its frame.

    Args:
        picture: A decoded one.
        framing: How.

    Raises:
        VideoError: It cannot be converted.
    """
    width, height = framing.scaled
    try:
        if picture.format.name in _PLANAR:
            picture = picture.reformat(
                format=_PLANAR[picture.format.name], threads=1
            )  # with more, 10 bits go wrong
        # In planes: the same values as in rgb24, in half the time.
        scaled = picture.reformat(width, height, "gbrp", interpolation=int(_SCALING), threads=1)
    except av.FFmpegError as error:
        raise VideoError(f"its pictures cannot be converted to RGB: {error.strerror}") from None

    # The planes of gbrp are in this order, and their lines may be padded
    green, blue, red = (
        Image.frombuffer("L", (width, height), bytes(plane), "raw", "L", plane.line_size, 1)
        for plane in scaled.planes
    )
    image = Image.merge("RGB", (red, green, blue))

    if framing.window != (0, 0, width, height):
        image = image.crop(framing.window)
    if framing.turn is not None:
        image = image.transpose(framing.turn)
    if image.size == framing.size:
        return image

    canvas = Image.new("RGB", framing.size)
    canvas.paste(image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2))
    return canvas


def thumbnail(picture: Any, shape: Shape, side: int) -> npt.NDArray[np.uint8]:
    """A small copy of what is shown of a picture, as it is stored: neither turned nor with square pixels.

    Args:
        picture: A decoded one.
        shape: What it is like.
        side: Its longer side in pixels; a smaller picture keeps its size.

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        VideoError: It cannot be converted.
    """
    box = shape.box
    width, height = box.right - box.left, box.bottom - box.top
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    stored = Shape(shape.width, shape.height, box)
    return np.asarray(to_image(picture, _framing(stored, box, size, size)))


def to_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode, with chroma halved both ways (4:2:0).

    Args:
        image: RGB.
        quality: 1 to 100.
    """
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


def software() -> dict[str, str]:
    """Versions of the libraries that decide what a frame's bytes are."""
    libraries = {
        name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")
    }
    jpeg = str(features.version("libjpeg_turbo") or features.version("jpg"))
    return {"av": av.__version__, **libraries, "pillow": PIL.__version__, "libjpeg": jpeg}
