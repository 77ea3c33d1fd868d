"""Files of videos: opened wherever they lie, and described by their headers."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.cropping import declared_margins
from surgstream.shards.video.container.feed import feed
from surgstream.shards.video.container.foreign import foreign, missing
from surgstream.shards.video.container.lengths import Length, declared_length
from surgstream.shards.video.container.shape import Margins, Shapes, square

MAX_PIXELS = 2**26
"""Most pixels of a picture that is decoded: twice those of 8K."""

LISTS = ("concat", "dash", "hls", "imf", "mlv", "rtsp", "sdp")
"""FFmpeg's names of files that hold no pictures but the names of other files or addresses."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Facts about a video that are known before it is decoded.

    Attributes:
        kind: The container's name in FFmpeg.
        codec: The decoder's name in FFmpeg.
        width: Width of the stored pictures.
        height: Height of the stored pictures.
        pixel_aspect: Width of a pixel over its height.
        seconds: Length of the pictures; None where the header does not say it.
        rate: Pictures a second; None where the header does not say it.
    """

    kind: str
    codec: str
    width: int
    height: int
    pixel_aspect: Fraction
    seconds: Fraction | None
    rate: Fraction | None


@dataclass(frozen=True)
class Video:
    """An open video: PyAV's container and its stream of moving pictures, the largest one, as `ffmpeg` chooses.

    Attributes:
        container: PyAV's container.
        stream: PyAV's stream.
        header: Facts that are known before decoding.
        decode_times: Whether pictures have no times but those of decoding.
        start: Start of the pictures by the header, in seconds of the container's clock; None where it does not tell.
        length: Length of the pictures by the header; None where it does not tell.
        shapes: Finds the shape of each picture.
    """

    container: Any
    stream: Any
    header: Header
    decode_times: bool
    start: Fraction | None
    length: Length | None
    shapes: Shapes


def check_gpu() -> None:
    """Check that there is a GPU to decode with.

    Raises:
        ConfigError: There is none, or it cannot be used.
    """
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except av.FFmpegError as error:
        raise ConfigError(
            "decode: expected an NVIDIA GPU for nvdec, got none that can be used "
            f"({error.strerror}); take decode=cpu"
        ) from None


@contextlib.contextmanager
def open_video(
    location: str,
    stores: Stores,
    threads: int = 1,
    *,
    gpu: bool = False,
    read_ahead: int | None = None,
) -> Iterator[Video]:
    """Open a video for decoding.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: Where `s3://` addresses are read from.
        threads: Number of threads that decode. With 1 the pictures of a damaged video do not depend on the machine.
        gpu: Decode by NVDEC where it can; the pictures come back to the CPU's memory.
        read_ahead: See `shards.video.container.feed.feed`.

    Yields:
        The video, positioned at its start.

    Raises:
        VideoError: FFmpeg cannot open it, or there are no moving pictures in it.
        StorageError: The store, or the file system, fails.
    """
    with feed(location, stores, read_ahead) as file:
        if what := foreign(file):
            raise VideoError(f"is not a video: it is {what}")

        margins = declared_margins(file)
        with _opened(file, gpu) as container:
            yield _describe(container, threads, margins)


@contextlib.contextmanager
def _opened(file: BinaryIO, gpu: bool) -> Iterator[Any]:
    accelerator = HWAccel("cuda") if gpu else None
    try:
        # The option reaches the decoders that look at the first pictures while the file is opened.
        options = {"max_pixels": str(MAX_PIXELS)}
        container = av.open(file, metadata_errors="replace", options=options, hwaccel=accelerator)
    except av.FFmpegError as error:
        reason = missing(file) or error.strerror
        raise VideoError(f"cannot be opened as a video: {reason}") from None

    with container:
        yield container


def _describe(container: Any, threads: int, margins: list[Margins]) -> Video:
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        raise VideoError("has no video stream")

    _check_kind(container.format.name)
    stream = max(streams, key=_preference)
    _set_up_decoder(stream, threads)
    _check_size(stream)

    place = streams.index(stream)
    length = declared_length(container, stream)
    start = None if stream.start_time is None else Fraction(stream.start_time * stream.time_base)
    return Video(
        container=container,
        stream=stream,
        header=_header(container, stream, length),
        # AVI has only times of decoding, which are right where every picture stands for itself.
        decode_times=container.format.name == "avi" and not stream.codec_context.codec.intra_only,
        start=start,
        length=length,
        shapes=_shapes(stream, margins[place] if place < len(margins) else Margins()),
    )


def _check_kind(kind: str) -> None:
    """Refuse what FFmpeg opens although it is no video."""
    if kind == "tty" or kind.startswith("image2") or kind.endswith("_pipe"):
        raise VideoError(f"is not a video: FFmpeg reads it as {kind!r}, text or a still picture")
    if kind in LISTS:
        raise VideoError(
            f"is not a video: FFmpeg reads it as {kind!r}, a list of other files; name those "
            "instead"
        )


def _preference(stream: Any) -> int:
    pixels = stream.width * stream.height if stream.codec_context is not None else 0
    # As much as `ffmpeg` adds to the default stream.
    return pixels + 5_000_000 * bool(stream.disposition & Disposition.default)


def _set_up_decoder(stream: Any, threads: int) -> None:
    if stream.codec_context is None:
        raise VideoError("has a video stream that FFmpeg has no decoder for")

    stream.thread_type = "AUTO" if threads > 1 else "NONE"
    stream.codec_context.thread_count = threads
    # Some decoders (Motion JPEG, HEVC) would paint over what they cannot decode and say nothing, and H.264's would crop
    # a left edge by multiples of 32 pixels.
    stream.codec_context.options = {
        "err_detect": "explode",
        "flags": "+unaligned",
        "max_pixels": str(MAX_PIXELS),
    }


def _check_size(stream: Any) -> None:
    if not (stream.width and stream.height):
        raise VideoError("has a video stream without a picture size")
    if stream.width * stream.height > MAX_PIXELS:
        raise VideoError(
            f"its pictures have {stream.width}x{stream.height} pixels, and {MAX_PIXELS} are the "
            "most"
        )


def _header(container: Any, stream: Any, length: Length | None) -> Header:
    return Header(
        kind=container.format.name,
        codec=stream.codec_context.name,
        width=stream.width,
        height=stream.height,
        pixel_aspect=square(stream.sample_aspect_ratio),
        seconds=None if length is None else length.seconds,
        rate=stream.average_rate or stream.guessed_rate,
    )


def _shapes(stream: Any, margins: Margins) -> Shapes:
    # The container's aspect counts only where it differs from the stream's own.
    own = stream.codec_context.sample_aspect_ratio
    of_container = stream.sample_aspect_ratio
    return Shapes(
        declared=own or Fraction(1),
        overruled=None if of_container == own else of_container,
        margins=margins,
    )
