"""From an open video to its pictures in order of time, and what of it is lost."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter

from shards.errors import VideoError
from shards.packed import Span
from shards.video.files import Video
from shards.video.sparing import Sparing
from shards.video.times import Shown

LONGEST_STILL_SECONDS = 600
"""A picture that would stay longer stays for its own duration, and then nothing is known."""

MOST_HOURS = 100
"""No video is longer; what seems to be has broken timestamps."""

_CLOCK_STEP_BACK_SECONDS = Fraction(1, 2)
_CLOCK_STEP_SECONDS = 10
_BROADCAST = ("mpegts", "mpeg")
_UNKNOWN_FRAME_SECONDS = Fraction(1, 25)


class Damaged(Exception):
    """A picture is missing or broken."""


@dataclass
class Clock:
    """Turns timestamps into seconds after the first picture, as FFmpeg does when it plays a file.

    Attributes:
        video: The video.
        end: When the latest picture ends, by its own duration.
    """

    video: Video
    end: Fraction = Fraction(0)
    _origin: Fraction | None = None
    _latest: Fraction = Fraction(0)

    def start(self, picture: Any) -> Fraction:
        """When a picture comes on the screen, and never before the one that was shown last.

        Where a clock was set anew, and broadcasts' clocks are, time goes on where it was.
        """
        if picture.pts is None:
            self._latest = self.end
        else:
            time = picture.pts * Fraction(picture.time_base)
            if self._origin is None or self._is_set_anew(time - self._origin):
                self._origin = time - self.end
            self._latest = max(time - self._origin, self._latest)
        self.end = self._latest + self._seconds(picture)
        return self._latest

    @property
    def origin(self) -> Fraction | None:
        """The timestamp of second 0; None until there was one."""
        return self._origin

    def _is_set_anew(self, time: Fraction) -> bool:
        forward = self.video.header.kind in _BROADCAST and time > self.end + _CLOCK_STEP_SECONDS
        return forward or time < self._latest - _CLOCK_STEP_BACK_SECONDS

    def _seconds(self, picture: Any) -> Fraction:
        if picture.duration and not self.video.decode_times:
            return Fraction(picture.duration * picture.time_base)
        return 1 / self.video.header.rate if self.video.header.rate else _UNKNOWN_FRAME_SECONDS


class Pictures:
    """The pictures of a video and when they are on the screen, to be iterated once.

    A picture stays until the next one comes; the last one, and the last before damage, for its own duration. After
    damage nothing counts until the next key frame, because pictures that follow a broken one are broken as well.

    Attributes:
        lost: What could not be decoded, complete after the last picture.
    """

    def __init__(self, video: Video, *, at: Fraction | None = None, strict: bool = False) -> None:
        """Read an open video from its start.

        Args:
            video: The video.
            at: Where given, pictures that are not on the screen at any k / at seconds may be left out.
            strict: Raise at the first damage.
        """
        self.lost: list[Span] = []
        self._video, self._at, self._strict, self._clock = video, at, strict, Clock(video)
        self._deinterlacer: _Deinterlacer | None = None

    def __iter__(self) -> Iterator[Shown]:
        """Yield them in order of time, the first one at 0.

        Raises:
            Damaged: See `strict`.
            VideoError: Nothing can be decoded.
            StorageError: The store fails.
        """
        held: Shown | None = None
        broken_since: Fraction | None = None
        for picture in self._frames():
            if picture is None:
                if self._strict:
                    raise Damaged
                if held:
                    yield held
                broken_since = broken_since or self._clock.end
                held = None
                continue
            start = self._clock.start(picture)
            if broken_since is not None:
                self._lose(broken_since or self._declared_start(), start)
                broken_since = None
            if held and start - held.start > LONGEST_STILL_SECONDS:
                yield held
                self._lose(held.stop, start)
            elif held:
                yield Shown(held.start, start, held.picture)
            if start > 3600 * MOST_HOURS:
                raise VideoError(f"seems to last more than {MOST_HOURS} hours")
            held = Shown(start, self._clock.end, picture)
        if held:
            yield held
        self._find_end(damaged=held is None)

    def _frames(self) -> Iterator[Any | None]:
        """Decoded pictures; None where some are missing. Interlaced ones, and all that follow, are deinterlaced."""
        for picture in self._decoded():
            if picture is not None and picture.interlaced_frame and self._deinterlacer is None:
                self._deinterlacer = _Deinterlacer()
            if self._deinterlacer is None:
                yield picture
                continue
            yield from self._deinterlacer.push(picture)
            if picture is None:
                yield None
        if self._deinterlacer:
            yield from self._deinterlacer.push(None)

    def _decoded(self) -> Iterator[Any | None]:
        """Decoded pictures in order of presentation; None where some are missing, and last when the end is."""
        context, awaited = self._video.stream.codec_context, Counter[int | None]()
        since_damage: set[int | None] | None = None
        for packet, spare in self._packets():
            if packet is None:
                yield None
                return
            context.skip_frame = "NONREF" if spare else "DEFAULT"
            try:
                pictures, failed = packet.decode(), packet.is_corrupt
            except av.FFmpegError:
                pictures, failed = [], True
            if packet.size and not packet.is_discard and not spare:
                awaited[self._stamp(packet)] += 1
            if since_damage is not None:
                since_damage.add(self._stamp(packet))
            for picture in pictures:
                stamp = self._stamp(picture)
                awaited[stamp] -= 1
                if awaited[stamp] <= 0:
                    del awaited[stamp]  # a day of video would leave millions
                if self._video.decode_times:
                    picture.pts = picture.dts
                if picture.is_corrupt:
                    failed = True
                elif since_damage is None or (picture.key_frame and stamp in since_damage):
                    since_damage = None
                    yield picture
            if failed:
                since_damage = set()
                yield None
        if self._strict and awaited:
            raise Damaged  # decoders with several threads may say nothing

    def _packets(self) -> Iterator[tuple[Any, bool]]:
        """The stream's packets, and whether their pictures can be spared; None when the file cannot be read on."""
        packets = self._video.container.demux(self._video.stream)
        try:
            if self._at is None:
                yield from ((packet, False) for packet in packets)
            else:
                yield from Sparing(self._video, self._at).packets(packets, self._grid_origin)
        except av.FFmpegError:
            yield None, False

    def _stamp(self, some: Any) -> int | None:
        """What a packet and its picture have in common."""
        stamp: int | None = some.dts if self._video.decode_times else some.pts
        return stamp

    def _grid_origin(self) -> Fraction | None:
        return None if self._deinterlacer else self._clock.origin

    def _lose(self, start: Fraction, stop: Fraction | None) -> None:
        if stop is None or stop > start:
            self.lost.append(Span(start=float(start), stop=None if stop is None else float(stop)))

    def _declared_start(self) -> Fraction:
        """When the header says that the first picture comes: before second 0, if those before it are lost."""
        origin, start = self._clock.origin, self._video.start
        return Fraction(0) if origin is None or start is None else min(Fraction(0), start - origin)

    def _find_end(self, *, damaged: bool) -> None:
        """Find out whether the end is missing.

        What was cut off between two pictures shows only in containers that declare their length, unlike transport
        streams.
        """
        end = self._clock.end
        if not end:
            raise VideoError("not one frame of it can be decoded")
        declared = self._video.header.seconds
        if declared is not None:
            declared += self._declared_start()
        if declared is not None and end < declared - (0 if damaged else self._video.slack_seconds):
            self._lose(end, declared)
        elif damaged:
            self._lose(end, None)


class _Deinterlacer:
    """FFmpeg's bwdif: one picture of each, made from both its fields; progressive ones pass as they are."""

    _graph: Any = None
    _kind: Any = None

    def push(self, picture: Any | None) -> Iterator[Any]:
        """Put a picture in, None at an end, and take out what is ready: a picture waits for the next one."""
        kind = None if picture is None else (picture.width, picture.height, picture.format.name, picture.time_base)
        if self._graph is not None and kind != self._kind:
            yield from self._put(None)
            self._graph = None
        if picture is not None:
            if self._graph is None:
                self._graph, self._kind = _bwdif(picture), kind
            yield from self._put(picture)

    def _put(self, picture: Any | None) -> Iterator[Any]:
        self._graph.push(picture)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield self._graph.pull()


def _bwdif(picture: Any) -> Any:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph
