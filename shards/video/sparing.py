"""Which pictures of a video need not be decoded, because no frame is taken while they are on the screen."""

import bisect
import math
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from shards.video.files import Video

LOOK_AHEAD_PACKETS = 32
"""Pictures are stored at most 16 places from where they are shown."""

LONGEST_STEP_SECONDS = 10
"""From one picture to the next; a longer one may be a clock that was set anew."""


class Sparing:
    """Sorts packets into those whose pictures are wanted and those that only other pictures may need.

    A picture is on the screen from its own timestamp to the next larger one; one that has not been seen yet can only be
    nearer. Once a timestamp is missing or jumps, everything is wanted.

    Args:
        video: An open video.
        fps: Frames are taken k / fps seconds after the first picture.
    """

    def __init__(self, video: Video, fps: Fraction) -> None:
        self._fps, self._time_base = fps, Fraction(video.stream.time_base)
        self._alone = bool(video.stream.codec_context.codec.intra_only)
        self._regular = not video.decode_times
        self._known: list[int] = []
        self._latest_dts = -math.inf

    def packets(self, packets: Iterator[Any], origin: Callable[[], Fraction | None]) -> Iterator[tuple[Any, bool]]:
        """Pass packets on, each with whether its own picture can be spared.

        Args:
            packets: In the order of the file.
            origin: The timestamp in seconds of the first picture; while it is None, nothing is spared.

        Yields:
            The packets; of streams in which no picture needs another, only those that are wanted.
        """
        ahead: deque[Any] = deque()
        for packet in packets:
            self._note(packet)
            ahead.append(packet)
            if len(ahead) > LOOK_AHEAD_PACKETS:
                yield from self._sorted(ahead.popleft(), origin())
        for packet in ahead:
            yield from self._sorted(packet, origin())

    def _note(self, packet: Any) -> None:
        """Remember when a picture comes."""
        if not packet.size or packet.is_discard:
            return
        if packet.pts is None or (packet.dts is not None and packet.dts < self._latest_dts):
            self._regular = False
            return
        if self._known:
            self._regular &= abs(packet.pts - self._known[-1]) * self._time_base < LONGEST_STEP_SECONDS
        bisect.insort(self._known, packet.pts)
        del self._known[: -3 * LOOK_AHEAD_PACKETS]
        self._latest_dts = self._latest_dts if packet.dts is None else packet.dts

    def _sorted(self, packet: Any, origin: Fraction | None) -> Iterator[tuple[Any, bool]]:
        wanted = not self._regular or origin is None or not packet.size or self._is_taken(packet.pts, origin)
        if wanted or not self._alone:
            yield packet, not wanted

    def _is_taken(self, start: int, origin: Fraction) -> bool:
        """Whether a frame is taken while the picture that comes at a timestamp is on the screen."""
        later = bisect.bisect_right(self._known, start)
        if later == len(self._known):
            return True
        first, last = ((stamp * self._time_base - origin) * self._fps for stamp in (start, self._known[later]))
        return math.ceil(first) < math.ceil(last)
