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
from surgstream.shards.video.container.files import MAX_PIXELS
from surgstream.shards.video.container.shape import Shape, Turn

# Bicubic, rounded the same way on every CPU.
_SCALING = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)

# Layouts of NVDEC, which scale to other values, and the layouts of the same pictures from decoders on the CPU.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p16le"}


def packed_size(
    width: int, height: int, short_side: int, pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int]:
    """Compute the size that a picture is packed at: its shorter side becomes `short_side`, unless it is smaller.

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
    """The steps that turn a picture into a frame.

    Attributes:
        scaled: Width and height of the whole picture once it is scaled.
        window: The part of the scaled picture that is kept: left, top, right, bottom.
        turn: The transposition that turns it upright.
        size: Width and height of the frame. Where the window does not fill it, the rest is black.
    """

    scaled: tuple[int, int]
    window: tuple[int, int, int, int]
    turn: Turn
    size: tuple[int, int]


def frame(shape: Shape, short_side: int, crop: Box | None = None) -> Framing:
    """Frame the first picture of a video, which decides the size of all frames.

    Args:
        shape: The picture's shape.
        short_side: See `packed_size`.
        crop: The part of it that is kept; all that is shown if None.
    """
    box = crop or shape.box
    size = packed_size(box.right - box.left, box.bottom - box.top, short_side, shape.pixel_aspect)
    return _framing(shape, box, size, _turned(size, shape))


def fit(shape: Shape, size: tuple[int, int], crop: Box | None = None) -> Framing:
    """Frame a picture in a given size: as large as it fits, in its own proportions.

    Args:
        shape: The picture's shape.
        size: Width and height of the frame.
        crop: See `frame`.
    """
    box = crop or shape.box
    room = _turned(size, shape)
    shown_width = (box.right - box.left) * shape.pixel_aspect
    shown_height = Fraction(box.bottom - box.top)
    scale = min(room[0] / shown_width, room[1] / shown_height)

    # At this scale the whole picture, which may be much larger than the box, has MAX_PIXELS.
    shown_pixels = shape.width * shape.pixel_aspect * shape.height
    largest_scale = Fraction(math.sqrt(MAX_PIXELS / shown_pixels))
    if scale <= largest_scale and _rounds_to((shown_width, shown_height), room):
        return _framing(shape, box, room, size)

    scale = min(scale, largest_scale)
    width = max(1, round(shown_width * scale))
    height = max(1, round(shown_height * scale))
    return _framing(shape, box, (width, height), size)


def _rounds_to(shown: tuple[Fraction, Fraction], size: tuple[int, int]) -> bool:
    """Whether there is a scale at which both sides round to a size."""
    half = Fraction(1, 2)
    least = max((side - half) / own for own, side in zip(shown, size, strict=True))
    most = min((side + half) / own for own, side in zip(shown, size, strict=True))
    return least <= most


def _framing(shape: Shape, box: Box, kept: tuple[int, int], size: tuple[int, int]) -> Framing:
    """Scale a picture so that a box of it comes to the size `kept`."""
    kept_width, kept_height = kept
    scale_x = Fraction(kept_width, box.right - box.left)
    scale_y = Fraction(kept_height, box.bottom - box.top)
    width = max(kept_width, round(shape.width * scale_x))
    height = max(kept_height, round(shape.height * scale_y))

    # Rounding must not push the window over the edge.
    left = min(round(box.left * scale_x), width - kept_width)
    top = min(round(box.top * scale_y), height - kept_height)
    window = (left, top, left + kept_width, top + kept_height)
    return Framing((width, height), window, shape.turn, size)


def _turned(size: tuple[int, int], shape: Shape) -> tuple[int, int]:
    """Convert a size after a picture's turn to the size before it, or the other way round."""
    return (size[1], size[0]) if shape.is_quarter_turn else size


def to_image(picture: Any, framing: Framing) -> Image.Image:
    """Scale a picture, cut its window out, turn it, and put it in the middle of its frame.

    Args:
        picture: A decoded picture.
        framing: The steps.

    Raises:
        VideoError: It cannot be converted.
    """
    width, height = framing.scaled
    try:
        # One thread, since more convert 10 bits wrongly.
        if picture.format.name in _PLANAR:
            picture = picture.reformat(format=_PLANAR[picture.format.name], threads=1)
        # In planes: the same values as in rgb24, in half the time.
        scaled = picture.reformat(width, height, "gbrp", interpolation=int(_SCALING), threads=1)
    except av.FFmpegError as error:
        raise VideoError(f"its pictures cannot be converted to RGB: {error.strerror}") from None

    # The planes of gbrp are in this order, and their lines may be padded.
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
    left = (canvas.width - image.width) // 2
    top = (canvas.height - image.height) // 2
    canvas.paste(image, (left, top))
    return canvas


def thumbnail(picture: Any, shape: Shape, side: int) -> npt.NDArray[np.uint8]:
    """Make a small copy of the shown part of a picture, as it is stored: not turned, pixels not made square.

    Args:
        picture: A decoded picture.
        shape: Its shape.
        side: Longer side of the copy in pixels; a smaller picture keeps its size.

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        VideoError: It cannot be converted.
    """
    box = shape.box
    width = box.right - box.left
    height = box.bottom - box.top
    scale = min(1.0, side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    stored = Shape(shape.width, shape.height, box)
    return np.asarray(to_image(picture, _framing(stored, box, size, size)))


def to_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode an image, with chroma halved both ways (4:2:0).

    Args:
        image: RGB.
        quality: 1 to 100.
    """
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


def software() -> dict[str, str]:
    """List the versions of the libraries on which a frame's bytes depend."""
    libraries = {}
    for name in ("libavcodec", "libswscale"):
        libraries[name] = ".".join(map(str, av.library_versions[name]))
    jpeg = str(features.version("libjpeg_turbo") or features.version("jpg"))
    return {"av": av.__version__, **libraries, "pillow": PIL.__version__, "libjpeg": jpeg}
