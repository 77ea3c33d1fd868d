"""Decoding of an open video: its pictures in order of time, and what is lost of them."""

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
from surgstream.shards.video.skipping import PacketSkipper

MAX_STILL_SECONDS = 600
"""A picture that would stay longer stays for its own duration; the rest of that time is lost."""

MAX_HOURS = 100
"""Longest video; one that seems longer has broken timestamps."""

SLACK_SECONDS = Fraction(1, 2)
"""Time by which an undamaged video may be shorter than its header says."""

_TURN_FROM_KEY_FRAMES = ("h264", "hevc")


class Damaged(Exception):
    """A picture is missing or broken."""


class Pictures:
    """The pictures of a video and their times on the screen, to be iterated once.

    A picture stays until the next one comes; the last one, and the last before damage, for its own duration. After
    damage nothing counts until the stream is whole again (`shards.video.recovery`), because pictures that follow a
    broken one are broken as well.

    Attributes:
        lost: Stretches that could not be decoded, complete after the last picture.
    """

    def __init__(self, video: Video, *, at: Fraction | None = None, strict: bool = False) -> None:
        """Read an open video from its start.

        Args:
            video: The video.
            at: Where given, pictures that are not on the screen at any k / at seconds may be left out.
            strict: Raise at the first damage.
        """
        self.lost: list[Span] = []
        self._video = video
        self._at = at
        self._strict = strict
        self._clock = Clock(video)
        self._deinterlacer: Deinterlacer | None = None
        self._repeated_until: Fraction | None = None
        self._others_until: Fraction | None = None

    @property
    def scale(self) -> Scale:
        """The scale of their times."""
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
        longest_still = self.scale.of(Fraction(MAX_STILL_SECONDS))
        longest = self.scale.of(Fraction(3600 * MAX_HOURS))

        for picture in self._frames():
            if picture is None:
                if self._strict:
                    raise Damaged
                if held:
                    yield held
                held = None
                broken_since = broken_since or self._clock.end  # 0: before the first picture
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
                raise VideoError(f"seems to last more than {MAX_HOURS} hours")
            held = Shown(start, self._clock.end, picture)

        if held:
            self._clock.end = max(self._clock.end, self._repeated_end(held))
            yield Shown(held.start, self._clock.end, held.picture)
        self._find_end(damaged=held is None)

    def _frames(self) -> Iterator[Any | None]:
        """Yield pictures; None where some are missing. From the first interlaced one on all are deinterlaced."""
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
        """Decode pictures in order of presentation; yield None where some are missing, and last if the end is."""
        codec = self._video.header.codec
        context = self._video.stream.codec_context
        awaited: Counter[int | None] = Counter()
        recovery: Recovery | None = None

        for packet, spare in self._packets():
            if packet is None:
                yield None
                return

            context.skip_frame = "NONREF" if spare else "DEFAULT"
            try:
                pictures = packet.decode()
                failed = packet.is_corrupt
            except av.FFmpegError:
                pictures = []
                failed = True
                # HEVC would refuse what is built upon missing pictures, even from a recovery point on.
                if codec == "hevc":
                    context.flush_buffers()

            if packet.size and not packet.is_discard and not spare and self._is_shown(packet):
                awaited[self._awaited_by(packet)] += 1
            if recovery is not None and packet.size:
                recovery.feed(packet, self._stamp(packet))

            for picture in pictures:
                stamp = self._stamp(picture)
                waiting = self._awaited_by(picture)
                awaited[waiting] -= 1
                if awaited[waiting] <= 0:
                    del awaited[waiting]  # a day of video would leave millions
                if self._video.decode_times:
                    picture.pts = picture.dts

                # While it recovers, HEVC gives pictures that are not yet whole.
                if picture.is_corrupt:
                    failed |= recovery is None or codec != "hevc"
                elif recovery is None or recovery.counts(picture, stamp):
                    recovery = None
                    yield picture

            if failed:
                recovery = Recovery(codec, interlaced=self._deinterlacer is not None)
                yield None

        # Decoders with several threads may give fewer pictures without an error.
        if self._strict and awaited:
            raise Damaged

    def _packets(self) -> Iterator[tuple[Any, bool]]:
        """Yield the stream's packets, and whether their pictures can be skipped; None where reading fails."""
        # Other streams are read only where they tell whether the end of the file is there.
        length = self._video.length
        streams = [self._video.stream] if length is None or length.own else []
        packets = self._pictures_only(self._video.container.demux(*streams))

        try:
            if self._at is None:
                for packet in packets:
                    yield packet, False
            else:
                sparing = PacketSkipper(self._video, self._at, self.scale)
                yield from sparing.packets(packets, self._grid_origin)
        except av.FFmpegError:
            yield None, False

    def _pictures_only(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Yield the stream's packets that are not empty, then the empty one that makes a decoder give what it holds.

        Empty packets before that one repeat a picture. The end of other streams is recorded.
        """
        last = None
        # PyAV raises IndexError at the end if streams have appeared since the file was opened.
        with contextlib.suppress(IndexError):
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
        """Tell until when the last picture is repeated, as far as that is plausible."""
        if self._repeated_until is None or self._clock.origin is None:
            return last.stop

        end = self.scale.of(self._repeated_until) - self._clock.origin
        is_plausible = self.scale.seconds(end - last.start) <= MAX_STILL_SECONDS
        return end if is_plausible else last.stop

    def _is_shown(self, packet: Any) -> bool:
        """Whether a packet gives a picture; if not, the last one stays."""
        shown = shows_a_picture(packet, self._video.header.codec)
        if not shown:
            self._repeated_until = _later(self._repeated_until, packet)
        return shown

    def _stamp(self, some: Any) -> int | None:
        """Get the timestamp that a packet shares with its picture."""
        stamp: int | None = some.dts if self._video.decode_times else some.pts
        return stamp

    def _awaited_by(self, some: Any) -> int | None:
        """Get the key of a packet until its picture comes; None, so that packets are only counted, without `pts`."""
        return None if self._video.decode_times else self._stamp(some)

    def _grid_origin(self) -> Ticks | None:
        return None if self._deinterlacer else self._clock.origin

    def _lose(self, start: Ticks, stop: Ticks | None) -> None:
        if stop is None or stop > start:
            last = None if stop is None else float(self.scale.seconds(stop))
            self.lost.append(Span(start=float(self.scale.seconds(start)), stop=last))

    def _declared_start(self) -> Ticks:
        """Read the first picture's time from the header: before time 0, if the first pictures are lost."""
        origin = self._clock.origin
        start = self._video.start
        if origin is None or start is None:
            return 0
        return min(0, self.scale.of(start) - origin)

    def _find_end(self, *, damaged: bool) -> None:
        """Find out whether the end is missing.

        A cut between two pictures shows only in containers that declare their length, unlike transport streams.
        """
        end = self._clock.end
        if not end:
            raise VideoError("not one frame of it can be decoded")

        declared = self._declared_end()
        slack = 0 if damaged else self.scale.of(SLACK_SECONDS)
        if declared is not None and end < declared - slack:
            self._lose(end, declared)
        elif damaged:
            self._lose(end, None)

    def _declared_end(self) -> Ticks | None:
        """Read the end of the pictures from the header; None where it does not tell.

        A length of the whole file tells nothing about the pictures where other streams, such as sound, reach its end.
        """
        length = self._video.length
        if length is None:
            return None

        declared = self.scale.of(length.seconds) + self._declared_start()
        if not length.own:
            reach = self._clock.end
            if self._others_until is not None:
                reach = self.scale.of(self._others_until) - (self._clock.origin or 0)
            if reach >= declared - self.scale.of(SLACK_SECONDS):
                return None
        return declared


def _later(until: Fraction | None, packet: Any) -> Fraction | None:
    """Give the later of a time and a packet's end, in seconds by its own clock."""
    if packet.pts is None:
        return until
    end = Fraction(packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
    return end if until is None else max(until, end)
