"""From a video to JPEG frames: decode, pick by time, scale, encode."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import PIL
from av.video.reformatter import Interpolation
from PIL import features

from shards.errors import VideoError
from shards.schema import is_frame_size
from shards.videos import Video

# Bicubic, rounded the same way on every CPU.
_SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

_UNKNOWN_FRAME_SECONDS = Fraction(1, 25)


@dataclass(frozen=True)
class Shown:
    """A picture and the time it is on the screen: [start, stop) in seconds after the video's first shown frame."""

    start: Fraction
    stop: Fraction
    picture: Any


def jpeg_frames(video: Video, *, fps: Fraction, short_side: int, quality: int) -> Iterator[tuple[int, bytes]]:
    """Turn a video into JPEG frames at a steady rate: frame k is what is shown k / fps seconds after the first frame.

    Args:
        video: An open video, at its start.
        fps: Frames a second.
        short_side: See `packed_size`.
        quality: JPEG quality, 1 to 100; chroma is halved both ways (4:2:0).

    Yields:
        The number k and the JPEG. Numbers grow; they jump where frames could not be decoded.

    Raises:
        VideoError: Nothing can be decoded or converted, the video's end is damaged or missing, or frames are too large.
        StorageError: The store fails.
    """
    width, height = packed_size(video.width, video.height, short_side)
    if not is_frame_size(width, height):
        raise VideoError(f"its frames would have {width}x{height} pixels, and 8K is the most; lower short_side")
    encoded, jpeg = None, b""
    for number, picture in pick(shown(video), fps):
        if picture is not encoded:
            try:
                encoded, jpeg = picture, _encode(picture, width, height, quality)
            except av.FFmpegError as error:
                raise VideoError(f"its pictures cannot be converted to RGB: {error.strerror}") from None
        yield number, jpeg


def packed_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """The size that a picture is packed at: its shorter side becomes `short_side`, unless it is smaller already.

    Args:
        width: Source width in pixels.
        height: Source height in pixels.
        short_side: Wanted shorter side in pixels.

    Returns:
        Width and height in pixels; they need not be even.
    """
    scale = Fraction(min(short_side, width, height), min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def pick(pictures: Iterable[Shown], fps: Fraction) -> Iterator[tuple[int, Any]]:
    """For each k, the picture on the screen at k / fps seconds, in exact arithmetic.

    A picture that stays long is picked again; one that is gone before the next k / fps never is.

    Args:
        pictures: In order of time, not overlapping.
        fps: Frames a second.

    Yields:
        k and the picture, for every k at which there is one.
    """
    for shown_ in pictures:
        for number in range(math.ceil(shown_.start * fps), math.ceil(shown_.stop * fps)):
            yield number, shown_.picture


def shown(video: Video) -> Iterator[Shown]:
    """Decode a video into its pictures and the times they are on the screen.

    A picture stays until the next one comes; the last one, and the last before damage, for its own duration. After
    damage nothing counts until the next key frame, because pictures that follow a broken one are broken as well.

    Args:
        video: An open video, at its start.

    Yields:
        The pictures in order of time, the first one at 0.

    Raises:
        VideoError: Nothing can be decoded, or the video's end is damaged or missing.
        StorageError: The store fails.
    """
    origin: Fraction | None = None
    held: Shown | None = None
    end = Fraction(0)
    for picture in _decoded(video):
        if picture is None:
            if held:
                yield held
            held = None
            continue
        start = end
        if picture.pts is not None:
            time = picture.pts * Fraction(picture.time_base)
            origin = time - end if origin is None else origin
            start = max(time - origin, held.start if held else end)
        if held:
            yield Shown(held.start, start, held.picture)
        end = start + _seconds(picture, video)
        held = Shown(start, end, picture)
    if held:
        yield held
    _check_end(video, origin, end, damaged=held is None)


def software() -> dict[str, str]:
    """Versions of the libraries that decide what a frame's bytes are."""
    libraries = {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")}
    jpeg = str(features.version("libjpeg_turbo") or features.version("jpg"))
    return {"av": av.__version__, **libraries, "pillow": PIL.__version__, "libjpeg": jpeg}


def _decoded(video: Video) -> Iterator[Any | None]:
    """Decoded pictures in order of presentation; None where some are missing, and last when the end is."""
    damaged, broken_pts = False, -math.inf
    for packet in _packets(video):
        if packet is None:
            yield None
            return
        try:
            pictures, failed = packet.decode(), packet.is_corrupt
        except av.FFmpegError:
            pictures, failed = [], True
        for picture in pictures:
            if picture.is_corrupt:
                failed = True
            elif not damaged or (picture.key_frame and (picture.pts is None or picture.pts > broken_pts)):
                damaged = False
                yield picture
        if failed:
            damaged, broken_pts = True, max(broken_pts, _position(packet))
            yield None


def _packets(video: Video) -> Iterator[Any | None]:
    """The stream's packets; None in the end when the file cannot be read on."""
    try:
        yield from video.container.demux(video.stream)
    except av.FFmpegError:
        yield None


def _position(packet: Any) -> float:
    position = packet.dts if packet.pts is None else packet.pts
    return -math.inf if position is None else position


def _seconds(picture: Any, video: Video) -> Fraction:
    if picture.duration:
        return Fraction(picture.duration * picture.time_base)
    return 1 / video.rate if video.rate else _UNKNOWN_FRAME_SECONDS


def _check_end(video: Video, origin: Fraction | None, end: Fraction, *, damaged: bool) -> None:
    """Refuse a video whose end is missing.

    Nobody can say how much is missing after damage that runs to the end, so not even a little of it is let pass. What
    was cut off between two pictures shows only in containers that declare their length, unlike transport streams.
    """
    if not end:
        raise VideoError("not one frame of it can be decoded")
    if damaged:
        raise VideoError(f"is truncated or broken: it is damaged from {float(end):.1f} s up to its end")
    if video.seconds is None:
        return
    if origin is not None and video.start is not None:
        end += max(Fraction(0), origin - video.start)  # what was lost before the first frame that could be decoded
    if end < video.seconds - video.slack_seconds:
        raise VideoError(
            f"is truncated or broken: its header declares {float(video.seconds):.1f} s, "
            f"it can be decoded up to {float(end):.1f} s"
        )


def _encode(picture: Any, width: int, height: int, quality: int) -> bytes:
    scaled = picture.reformat(width, height, "rgb24", interpolation=int(_SCALING), threads=1)
    file = io.BytesIO()
    scaled.to_image().save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()
