"""Source videos: open one wherever it lies, and tell what its header says."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from configs.errors import ConfigError
from shards.errors import StorageError, VideoError
from shards.storage import RangeReader, Stores

READ_AHEAD_BYTES = 8 * 2**20
"""How much of a video on S3 is fetched at a time, when it is read from its start to its end."""

MOST_PIXELS = 2**26
"""Of a picture that is decoded: twice as many as 8K has."""

WIDEST_PIXEL = Fraction(4)
"""What is declared to be wider, or as narrow, is a mistake: then pixels are taken to be square."""

LISTS = ("concat", "dash", "hls", "imf", "mlv", "rtsp", "sdp")
"""What FFmpeg calls files that say where pictures lie instead of holding them: other files, or addresses."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of a video before it is decoded.

    Attributes:
        kind: The container's name in FFmpeg.
        codec: The decoder's.
        width: Of the stored pictures.
        height: Of the stored pictures.
        pixel_aspect: How wide a pixel is for its height.
        seconds: How long the pictures last; None where the header does not say it.
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

    `start` is when the pictures begin as the header declares it, None where it does not. An undamaged video may end
    `slack_seconds` before the header's length. With `decode_times`, pictures have no times but those of decoding.
    """

    container: Any
    stream: Any
    header: Header
    decode_times: bool
    start: Fraction | None
    slack_seconds: Fraction


def check_gpu() -> None:
    """Make sure that there is a GPU to decode with.

    Raises:
        ConfigError: There is none, or it cannot be used.
    """
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except av.FFmpegError as error:
        raise ConfigError(
            f"decode: expected an NVIDIA GPU for nvdec, got none that can be used ({error.strerror}); take decode=cpu"
        ) from None


@contextlib.contextmanager
def open_video(
    location: str, stores: Stores, threads: int = 1, *, gpu: bool = False, read_ahead: int | None = None
) -> Iterator[Video]:
    """Open a video for decoding.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: Where `s3://` addresses are read from.
        threads: To decode with. What a damaged video gives does not depend on the machine if it is 1.
        gpu: Decode by NVDEC where it can; the pictures come back to the CPU's memory.
        read_ahead: How many bytes of a video on S3 are fetched at a time, if not READ_AHEAD_BYTES.

    Yields:
        The video, positioned at its start.

    Raises:
        VideoError: FFmpeg cannot open it, or there are no moving pictures in it.
        StorageError: The store fails.
    """
    if "://" not in location:
        with _opened(_file(location), threads, gpu) as video:
            yield video
        return
    feed = _Feed(*stores.locate(location))
    try:
        with _opened(io.BufferedReader(feed, read_ahead or READ_AHEAD_BYTES), threads, gpu) as video:
            yield video
    finally:
        if feed.failure is not None:
            raise feed.failure


def _file(location: str) -> str:
    """Refuse what can be opened and is no file: a named pipe would make us wait."""
    if os.path.exists(location) and not os.path.isfile(location):
        raise VideoError("is not a regular file")
    return location


class _Feed(RangeReader):
    """A stored video for FFmpeg, which drops exceptions: to it, a store that fails looks like the end of the file."""

    failure: StorageError | None = None

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self.failure is None:
            try:
                return super().readinto(buffer)
            except StorageError as error:
                self.failure = error
        return 0


@contextlib.contextmanager
def _opened(file: Any, threads: int, gpu: bool) -> Iterator[Video]:
    accelerator = HWAccel("cuda") if gpu else None
    try:
        # The option reaches the decoders that look at the first pictures while the file is opened.
        options = {"max_pixels": str(MOST_PIXELS)}
        container = av.open(file, metadata_errors="replace", options=options, hwaccel=accelerator)
    except av.FFmpegError as error:
        raise VideoError(f"cannot be opened as a video: {error.strerror}") from None
    with container:
        yield _describe(container, threads)


def _describe(container: Any, threads: int) -> Video:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError("has no video stream")
    kind = container.format.name
    if kind == "tty" or kind.startswith("image2") or kind.endswith("_pipe"):
        raise VideoError(f"is not a video: FFmpeg reads it as {kind!r}, text or a still picture")
    if kind in LISTS:
        raise VideoError(f"is not a video: FFmpeg reads it as {kind!r}, a list of other files; name those instead")
    stream = max(streams, key=_preference)
    if stream.codec_context is None:
        raise VideoError("has a video stream that FFmpeg has no decoder for")
    stream.thread_type, stream.codec_context.thread_count = "AUTO" if threads > 1 else "NONE", threads
    # Some decoders (Motion JPEG, HEVC) would paint over what they cannot decode and say nothing, and H.264's would crop
    # a left edge by multiples of 32 pixels.
    stream.codec_context.options = {
        "err_detect": "explode",
        "flags": "+unaligned",
        "max_pixels": str(MOST_PIXELS),
    }
    if not (stream.width and stream.height):
        raise VideoError("has a video stream without a picture size")
    if stream.width * stream.height > MOST_PIXELS:
        raise VideoError(f"its pictures have {stream.width}x{stream.height} pixels, and {MOST_PIXELS} are the most")
    seconds, slack_seconds = _declared_length(container, stream)
    return Video(
        container=container,
        stream=stream,
        header=Header(
            kind=kind,
            codec=stream.codec_context.name,
            width=stream.width,
            height=stream.height,
            pixel_aspect=_pixel_aspect(stream.sample_aspect_ratio),
            seconds=seconds,
            rate=stream.average_rate or stream.guessed_rate,
        ),
        decode_times=kind == "avi" and not stream.codec_context.codec.intra_only,
        start=None if stream.start_time is None else Fraction(stream.start_time * stream.time_base),
        slack_seconds=slack_seconds,
    )


def _preference(stream: Any) -> int:
    pixels = stream.width * stream.height if stream.codec_context is not None else 0
    return pixels + 5_000_000 * bool(stream.disposition & Disposition.default)


def _pixel_aspect(declared: Fraction | None) -> Fraction:
    possible = declared is not None and 1 / WIDEST_PIXEL <= declared <= WIDEST_PIXEL
    return Fraction(declared) if declared is not None and possible else Fraction(1)


def _declared_length(container: Any, stream: Any) -> tuple[Fraction | None, Fraction]:
    """The seconds that the header declares, and how many of them an undamaged video may lack."""
    slack = Fraction(1, 2)
    seconds = _stream_seconds(container, stream)
    if seconds is None and container.duration is not None:
        seconds = Fraction(container.duration, av.time_base)
        slack = max(slack, seconds / 100)  # it may be the length of a longer sound track
    return seconds, slack


def _stream_seconds(container: Any, stream: Any) -> Fraction | None:
    """The length of the stream itself, if the header tells it."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        return Fraction(stream.frames / stream.average_rate)  # FFmpeg shortens the duration to what the file holds
    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    hours, *sixtieths = stream.metadata.get("DURATION", "").split(":")  # Matroska's
    if len(sixtieths) == 2:
        with contextlib.suppress(ValueError):
            return 3600 * Fraction(hours) + 60 * Fraction(sixtieths[0]) + Fraction(sixtieths[1])
    return None
