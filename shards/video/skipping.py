"""Skipping of pictures that need not be decoded, since no frame is taken while they are on the screen."""

import bisect
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from surgstream.shards.video.container.files import Video
from surgstream.shards.video.keyframes import starts_anew
from surgstream.shards.video.sampling import Scale, Ticks, first_frame

LOOK_AHEAD_PACKETS = 64
"""Pictures are stored at most 16 places from where they are shown; the rest is to find the next key frame."""

MAX_STEP_SECONDS = 10
"""Longest step from one picture to the next; a longer one may be a reset of the clock."""


class PacketSkipper:
    """Tells the packets whose pictures are wanted from those that only others may need, and these from the useless.

    A picture is on the screen from its own timestamp to the next larger one; one that has not been seen yet can only be
    nearer. Once a timestamp is missing or jumps, everything is wanted.

    Args:
        video: An open video.
        fps: Frames are taken k / fps seconds after the first picture.
        scale: The scale of times.
    """

    def __init__(self, video: Video, fps: Fraction, scale: Scale) -> None:
        self._codec = video.header.codec
        self._scale = scale
        self._frames_a_tick = fps / scale.per_second
        self._step = Fraction(video.stream.time_base)
        self._longest_step = math.ceil(MAX_STEP_SECONDS / self._step)
        self._alone = bool(video.stream.codec_context.codec.intra_only)

        self._regular = not video.decode_times
        self._known: list[int] = []
        self._latest_dts = -math.inf

        # How many of the next packets are known to be useless, or useful.
        self._useless = 0
        self._useful = 0

    def packets(
        self, packets: Iterator[Any], origin: Callable[[], Ticks | None]
    ) -> Iterator[tuple[Any, bool]]:
        """Pass packets on, and tell of each whether its own picture can be skipped.

        Args:
            packets: Packets in the order of the file.
            origin: The timestamp in ticks of the first picture; while it is None, nothing is skipped.

        Yields:
            The packets, without those that neither a frame nor another picture needs.
        """
        ahead: deque[Any] = deque()
        # The None at the end push the last packets out of the queue.
        for packet in itertools.chain(packets, itertools.repeat(None, LOOK_AHEAD_PACKETS)):
            if packet is not None:
                self._note(packet)
            ahead.append(packet)
            if len(ahead) <= LOOK_AHEAD_PACKETS:
                continue

            first = ahead.popleft()
            if first is None:
                continue
            start = origin()
            if self._is_wanted(first, start):
                self._useless = 0
                self._useful = 0
                yield first, False
            elif not self._is_useless(ahead, start):
                yield first, True

    def _note(self, packet: Any) -> None:
        """Record the time of a packet's picture."""
        if not packet.size or packet.is_discard:
            return
        if packet.pts is None or (packet.dts is not None and packet.dts < self._latest_dts):
            self._regular = False
            return

        if self._known:
            self._regular &= abs(packet.pts - self._known[-1]) < self._longest_step
        bisect.insort(self._known, packet.pts)
        # A day of video would leave millions.
        del self._known[: -3 * LOOK_AHEAD_PACKETS]
        if packet.dts is not None:
            self._latest_dts = packet.dts

    def _is_wanted(self, packet: Any, origin: Ticks | None) -> bool:
        """Whether a frame is taken while a packet's picture is on the screen; True where that cannot be told."""
        if not self._regular or origin is None or not packet.size:
            return True

        # The next larger timestamp ends a picture's time on the screen.
        later = bisect.bisect_right(self._known, packet.pts)
        if later == len(self._known):
            return True
        start = self._scale.of_stamp(packet.pts, self._step) - origin
        stop = self._scale.of_stamp(self._known[later], self._step) - origin
        return first_frame(start, self._frames_a_tick) < first_frame(stop, self._frames_a_tick)

    def _is_useless(self, ahead: deque[Any], origin: Ticks | None) -> bool:
        """Whether no wanted picture needs a skipped one: all are skipped up to the next clean start of decoding.

        The answer for a packet holds for those that follow it up to there.
        """
        if self._alone:
            return True

        # One look ahead tells about several packets.
        if not self._useless and not self._useful:
            for number, packet in enumerate(ahead, start=1):
                if packet is None or self._is_wanted(packet, origin):
                    self._useful = number
                    break
                if packet.is_keyframe and starts_anew(packet, self._codec):
                    self._useless = number
                    break
            else:
                self._useful = 1  # unknown, so look again for the next packet

        if self._useless:
            self._useless -= 1
            return True
        self._useful -= 1
        return False
