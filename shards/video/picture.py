"""From a decoded picture to a JPEG: upright, with square pixels, in RGB."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import PIL
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Interpolation
from PIL import Image, features

from shards.errors import VideoError
from shards.packed import Box

# Bicubic, rounded the same way on every CPU.
_SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

# What NVDEC gives, by the layout in which decoders on the CPU give the same, and which scales otherwise.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p16le"}

Turn = Image.Transpose | None

# What turns a picture upright, by the signs of the diagonal of its display matrix, or else of its counterdiagonal.
_MIRRORED = {
    (1, 1): None,
    (-1, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, -1): Image.Transpose.ROTATE_180,
}
_TURNED = {
    (-1, 1): Image.Transpose.ROTATE_90,
    (1, -1): Image.Transpose.ROTATE_270,
    (1, 1): Image.Transpose.TRANSPOSE,
    (-1, -1): Image.Transpose.TRANSVERSE,
}
_QUARTERS = frozenset(_TURNED.values())


def packed_size(width: int, height: int, short_side: int, pixel_aspect: Fraction = Fraction(1)) -> tuple[int, int]:
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


def turn_of(picture: Any) -> Turn:
    """What turns a picture upright, by its display matrix; angles are taken to the nearest quarter.

    A picture that was asked is freed by the garbage collector alone, so ask one of a video.
    """
    matrix = next((bytes(data) for data in picture.side_data if data.type == SideData.DISPLAYMATRIX), None)
    if matrix is None or len(matrix) != 36:
        return None
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _MIRRORED[_sign(a), _sign(d)]
    return _TURNED[_sign(b), _sign(c)]


@dataclass(frozen=True)
class Framing:
    """How a picture becomes a frame.

    Attributes:
        scaled: Width and height of the whole picture once it is scaled.
        window: What of that is kept: left, top, right, bottom.
        turn: What turns it upright.
    """

    scaled: tuple[int, int]
    window: tuple[int, int, int, int]
    turn: Turn

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame."""
        left, top, right, bottom = self.window
        size = right - left, bottom - top
        return (size[1], size[0]) if self.turn in _QUARTERS else size


def frame(picture: Any, short_side: int, pixel_aspect: Fraction, crop: Box | None) -> Framing:
    """Find how the pictures of a video are framed.

    Args:
        picture: One of them, decoded.
        short_side: See `packed_size`.
        pixel_aspect: See `packed_size`.
        crop: What is kept of a picture; all of it if None.
    """
    crop = crop or Box(left=0, top=0, right=picture.width, bottom=picture.height)
    width, height = crop.right - crop.left, crop.bottom - crop.top
    size = packed_size(width, height, short_side, pixel_aspect)
    across, down = Fraction(size[0], width), Fraction(size[1], height)
    scaled = max(size[0], round(picture.width * across)), max(size[1], round(picture.height * down))
    left, top = min(round(crop.left * across), scaled[0] - size[0]), min(round(crop.top * down), scaled[1] - size[1])
    return Framing(scaled, (left, top, left + size[0], top + size[1]), turn_of(picture))


def to_image(picture: Any, framing: Framing) -> Image.Image:
    """Scale a picture, cut its window out and turn it.

    Args:
        picture: A decoded one.
        framing: How.

    Raises:
        VideoError: It cannot be converted.
    """
    width, height = framing.scaled
    try:
        if picture.format.name in _PLANAR:
            picture = picture.reformat(format=_PLANAR[picture.format.name], threads=1)  # with more, 10 bits go wrong
        # In planes: the same values as in rgb24, in half the time.
        scaled = picture.reformat(width, height, "gbrp", interpolation=int(_SCALING), threads=1)
    except av.FFmpegError as error:
        raise VideoError(f"its pictures cannot be converted to RGB: {error.strerror}") from None
    green, blue, red = (
        Image.frombuffer("L", (width, height), bytes(plane), "raw", "L", plane.line_size, 1) for plane in scaled.planes
    )
    image = Image.merge("RGB", (red, green, blue))
    if framing.window != (0, 0, width, height):
        image = image.crop(framing.window)
    return image if framing.turn is None else image.transpose(framing.turn)


def thumbnail(picture: Any, side: int) -> npt.NDArray[np.uint8]:
    """A small copy of a picture as it is stored.

    Args:
        picture: A decoded one.
        side: Its longer side in pixels; a smaller picture keeps its size.

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        VideoError: It cannot be converted.
    """
    scale = min(1.0, side / max(picture.width, picture.height))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return np.asarray(to_image(picture, Framing(size, (0, 0, *size), None)))


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
    libraries = {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")}
    jpeg = str(features.version("libjpeg_turbo") or features.version("jpg"))
    return {"av": av.__version__, **libraries, "pillow": PIL.__version__, "libjpeg": jpeg}


def _sign(number: int) -> int:
    return -1 if number < 0 else 1
