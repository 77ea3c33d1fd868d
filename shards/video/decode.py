"""From an open video to its pictures in order of time, and what of it is lost."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from surgstream.shards.errors import VideoError
from surgstream.shards.format.records import Span
from surgstream.shards.video.clock import Clock
from surgstream.shards.video.container.files import Video
from surgstream.shards.video.deinterlace import Deinterlacer
from surgstream.shards.video.keyframes import shows_a_picture
from surgstream.shards.video.recovery import Recovery
from surgstream.shards.video.sampling import Scale, Shown, Ticks
from surgstream.shards.video.skipping import Sparing

LONGEST_STILL_SECONDS = 600
"""A picture that would stay longer stays for its own duration, and then nothing is known."""

MOST_HOURS = 100
"""No video is longer; what seems to be has broken timestamps."""

SLACK_SECONDS = Fraction(1, 2)
"""By which an undamaged video may be shorter than its header says."""

_TURN_FROM_KEY_FRAMES = ("h264", "hevc")


class Damaged(Exception):
    """A picture is missing or broken."""


class Pictures:
    """The pictures of a video and when they are on the screen, to be iterated once.

    A picture stays until the next one comes; the last one, and the last before damage, for its own duration. After
    damage nothing counts until the stream is whole again (`shards.video.recovery`), because pictures that follow a
    broken one are broken as well.

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
        self._deinterlacer: Deinterlacer | None = None
        self._repeated_until: Fraction | None = None
        self._others_until: Fraction | None = None

    @property
    def scale(self) -> Scale:
        """What their times are counted in."""
        return self._clock.scale

    def __iter__(self) -> Iterator[Shown]:
        """Yield them in order of time, the first one at 0.

        Raises:
            Damaged: See `strict`.
            VideoError: Nothing can be decoded.
            StorageError: The store fails.
        """
        held: Shown | None = None
        broken_since: Ticks | None = None
        longest_still, longest = (
            self.scale.of(Fraction(each)) for each in (LONGEST_STILL_SECONDS, 3600 * MOST_HOURS)
        )
        for picture in self._frames():
            if picture is None:
                if self._strict:
                    raise Damaged
                if held:
                    yield held
                broken_since = broken_since or self._clock.end  # 0: before the first picture
                held = None
                continue
            if picture.key_frame and self._video.header.codec in _TURN_FROM_KEY_FRAMES:
                self._video.shapes.note(picture)
            start = self._clock.start(picture)
            if broken_since is not None:
                self._lose(broken_since or self._declared_start(), start)
                broken_since = None
            if held and start - held.start > longest_still:
                yield held
                self._lose(held.stop, start)
            elif held:
                yield Shown(held.start, start, held.picture)
            if start > longest:
                raise VideoError(f"seems to last more than {MOST_HOURS} hours")
            held = Shown(start, self._clock.end, picture)

        if held:
            self._clock.end = max(self._clock.end, self._repeated_end(held))
            yield Shown(held.start, self._clock.end, held.picture)
        self._find_end(damaged=held is None)

    def _frames(self) -> Iterator[Any | None]:
        """Decoded pictures; None where some are missing. Interlaced ones, and all that follow, are deinterlaced."""
        for picture in self._decoded():
            if picture is not None and picture.interlaced_frame and self._deinterlacer is None:
                self._deinterlacer = Deinterlacer()
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
        codec, recovery = self._video.header.codec, None
        for packet, spare in self._packets():
            if packet is None:
                yield None
                return
            context.skip_frame = "NONREF" if spare else "DEFAULT"
            try:
                pictures, failed = packet.decode(), packet.is_corrupt
            except av.FFmpegError:
                pictures, failed = [], True
                if codec == "hevc":
                    context.flush_buffers()  # or it refuses what is built upon missing pictures, recovery point or not
            if packet.size and not packet.is_discard and not spare and self._is_shown(packet):
                awaited[self._awaited_by(packet)] += 1  # one more picture of this time is to come
            if recovery is not None and packet.size:
                recovery.feed(packet, self._stamp(packet))
            for picture in pictures:
                stamp, waiting = self._stamp(picture), self._awaited_by(picture)
                awaited[waiting] -= 1
                if awaited[waiting] <= 0:
                    del awaited[waiting]  # a day of video would leave millions
                if self._video.decode_times:
                    picture.pts = picture.dts
                if picture.is_corrupt:
                    failed |= (
                        recovery is None or codec != "hevc"
                    )  # which gives pictures that are not yet whole
                elif recovery is None or recovery.counts(picture, stamp):
                    recovery = None
                    yield picture
            if failed:
                recovery = Recovery(codec, interlaced=self._deinterlacer is not None)
                yield None
        if self._strict and awaited:
            raise Damaged  # decoders with several threads may say nothing

    def _packets(self) -> Iterator[tuple[Any, bool]]:
        """The stream's packets, and whether their pictures can be spared; None when the file cannot be read on."""
        length = self._video.length
        alone = length is None or length.own
        packets = (
            self._video.container.demux(self._video.stream)
            if alone
            else self._video.container.demux()
        )
        packets = self._pictures_only(packets)
        try:
            if self._at is None:
                yield from ((packet, False) for packet in packets)
            else:
                yield from Sparing(self._video, self._at, self.scale).packets(
                    packets, self._grid_origin
                )
        except av.FFmpegError:
            yield None, False

    def _pictures_only(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The packets of the stream but empty ones, and, last, the empty one that makes a decoder give what it holds.

        An empty one before means the same picture again. How far other streams reach is noted.
        """
        last = None
        with contextlib.suppress(
            IndexError
        ):  # at the end PyAV looks for streams that appeared meanwhile
            for packet in packets:
                if packet.stream.index != self._video.stream.index:
                    self._others_until = _later(self._others_until, packet)
                elif packet.size:
                    yield packet
                else:
                    self._repeated_until = _later(self._repeated_until, packet)
                    last = packet
        if last is not None:
            yield last

    def _repeated_end(self, last: Shown) -> Ticks:
        """Until when the last picture is said to be repeated, if that can be."""
        if self._repeated_until is None or self._clock.origin is None:
            return last.stop
        end = self.scale.of(self._repeated_until) - self._clock.origin
        return end if self.scale.seconds(end - last.start) <= LONGEST_STILL_SECONDS else last.stop

    def _is_shown(self, packet: Any) -> bool:
        """Whether a picture comes of a packet; if not, the last one stays."""
        shown = shows_a_picture(packet, self._video.header.codec)
        if not shown:
            self._repeated_until = _later(self._repeated_until, packet)
        return shown

    def _stamp(self, some: Any) -> int | None:
        """The timestamp that a packet shares with its picture."""
        stamp: int | None = some.dts if self._video.decode_times else some.pts
        return stamp

    def _awaited_by(self, some: Any) -> int | None:
        """What a packet is known by until its picture comes; by times of decoding they are only counted."""
        pts: int | None = some.pts
        return None if self._video.decode_times else pts

    def _grid_origin(self) -> Ticks | None:
        return None if self._deinterlacer else self._clock.origin

    def _lose(self, start: Ticks, stop: Ticks | None) -> None:
        if stop is None or stop > start:
            last = None if stop is None else float(self.scale.seconds(stop))
            self.lost.append(Span(start=float(self.scale.seconds(start)), stop=last))

    def _declared_start(self) -> Ticks:
        """When the header says that the first picture comes: before time 0, if those before it are lost."""
        origin, start = self._clock.origin, self._video.start
        return 0 if origin is None or start is None else min(0, self.scale.of(start) - origin)

    def _find_end(self, *, damaged: bool) -> None:
        """Find out whether the end is missing.

        What was cut off between two pictures shows only in containers that declare their length, unlike transport
        streams. Where that is the length of the whole file and others, sound say, are there to its end, it is whole.
        """
        end, slack = self._clock.end, self.scale.of(SLACK_SECONDS)
        if not end:
            raise VideoError("not one frame of it can be decoded")
        length = self._video.length
        declared = (
            None if length is None else self.scale.of(length.seconds) + self._declared_start()
        )
        if length is not None and declared is not None and not length.own:
            others, origin = self._others_until, self._clock.origin or 0
            reach = end if others is None else self.scale.of(others) - origin
            declared = None if reach >= declared - slack else declared
        if declared is not None and end < declared - (0 if damaged else slack):
            self._lose(end, declared)
        elif damaged:
            self._lose(end, None)


def _later(until: Fraction | None, packet: Any) -> Fraction | None:
    """When a packet ends, in seconds by its own clock, if that is later and known."""
    if packet.pts is None:
        return until
    end = Fraction(packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
    return end if until is None else max(until, end)
