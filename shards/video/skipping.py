"""What of a video need not be decoded, because no frame is taken while it is on the screen."""

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

LONGEST_STEP_SECONDS = 10
"""From one picture to the next; a longer one may be a clock that was set anew."""


class Sparing:
    """Tells the packets whose pictures are wanted from those that only others may need, and these from the useless.

    A picture is on the screen from its own timestamp to the next larger one; one that has not been seen yet can only be
    nearer. Once a timestamp is missing or jumps, everything is wanted.

    Args:
        video: An open video.
        fps: Frames are taken k / fps seconds after the first picture.
        scale: What times are counted in.
    """

    def __init__(self, video: Video, fps: Fraction, scale: Scale) -> None:
        self._codec, self._scale, self._frames_a_tick = (
            video.header.codec,
            scale,
            fps / scale.per_second,
        )
        self._step = Fraction(video.stream.time_base)
        self._longest_step = math.ceil(LONGEST_STEP_SECONDS / self._step)
        self._alone = bool(video.stream.codec_context.codec.intra_only)
        self._regular = not video.decode_times
        self._known: list[int] = []
        self._latest_dts = -math.inf
        self._useless = self._useful = 0

    def packets(
        self, packets: Iterator[Any], origin: Callable[[], Ticks | None]
    ) -> Iterator[tuple[Any, bool]]:
        """Pass packets on, each with whether its own picture can be spared.

        Args:
            packets: In the order of the file.
            origin: The timestamp in ticks of the first picture; while it is None, nothing is spared.

        Yields:
            The packets, without those that neither a frame nor another picture needs.
        """
        ahead: deque[Any] = deque()
        # As many None push the last packets out of the queue
        for packet in itertools.chain(packets, itertools.repeat(None, LOOK_AHEAD_PACKETS)):
            if packet is not None:
                self._note(packet)
            ahead.append(packet)
            if len(ahead) > LOOK_AHEAD_PACKETS and (first := ahead.popleft()) is not None:
                start = origin()
                if self._is_wanted(first, start):
                    self._useless = self._useful = 0
                    yield first, False
                elif not self._is_useless(ahead, start):
                    yield first, True

    def _note(self, packet: Any) -> None:
        """Remember when a picture comes."""
        if not packet.size or packet.is_discard:
            return
        if packet.pts is None or (packet.dts is not None and packet.dts < self._latest_dts):
            self._regular = False
            return
        if self._known:
            self._regular &= abs(packet.pts - self._known[-1]) < self._longest_step
        bisect.insort(self._known, packet.pts)
        # A day of video would leave millions
        del self._known[: -3 * LOOK_AHEAD_PACKETS]
        self._latest_dts = self._latest_dts if packet.dts is None else packet.dts

    def _is_wanted(self, packet: Any, origin: Ticks | None) -> bool:
        """Whether a frame is taken while a packet's picture is on the screen, or nobody can tell."""
        if not self._regular or origin is None or not packet.size:
            return True

        # The next larger timestamp ends a picture's time on the screen
        later = bisect.bisect_right(self._known, packet.pts)
        if later == len(self._known):
            return True
        times = (
            self._scale.of_stamp(stamp, self._step) - origin
            for stamp in (packet.pts, self._known[later])
        )
        first, last = (first_frame(time, self._frames_a_tick) for time in times)
        return first < last

    def _is_useless(self, ahead: deque[Any], origin: Ticks | None) -> bool:
        """Whether no wanted picture needs a spared one: all in between are spared, up to where decoding starts anew.

        What is found out about a packet holds for those that follow it up to there.
        """
        if self._alone:
            return True

        # One look ahead tells about several packets; these count how many of them are still to come
        if not self._useless and not self._useful:
            for number, packet in enumerate(ahead, start=1):
                if packet is None or self._is_wanted(packet, origin):
                    self._useful = number
                    break
                if packet.is_keyframe and starts_anew(packet, self._codec):
                    self._useless = number
                    break
            else:
                self._useful = 1  # it cannot be told, so look again for the next packet

        if self._useless:
            self._useless -= 1
            return True
        self._useful -= 1
        return False
