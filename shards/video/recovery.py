"""The end of damage in a stream: pictures that follow a broken one are built upon it, and do not count."""

from typing import Any

from surgstream.shards.video.keyframes import is_reference, pictures_to_recovery

MAX_WAIT_SECONDS = 60
"""Time after which pictures count although nothing says that they are whole again.

Streams without any key frame or recovery point renew their pictures bit by bit, within 132 pictures as MPEG-4 and H.263
demand. This is ten times as long: the loss is not noticed, and an eight-hour film is not lost for one packet.
"""


class Recovery:
    """Follows a stream from a damaged packet on. Each further damage needs a new one.

    Args:
        codec: FFmpeg's name of the decoder.
        interlaced: Whether a picture may come as two packets, a field each.
    """

    def __init__(self, codec: str, *, interlaced: bool) -> None:
        self._codec = codec
        self._packets_a_picture = 2 if interlaced else 1
        self._fed: set[int | None] = set()
        self._left: int | None = None  # pictures to the recovery point
        self._whole_from: int | None = None
        self._latest = 0
        self._first_seconds: float | None = None

    def feed(self, packet: Any, stamp: int | None) -> None:
        """Record a packet that was decoded since the damage, and its stamp."""
        self._fed.add(stamp)
        if stamp is None or self._whole_from is not None:
            return

        left = pictures_to_recovery(packet, self._codec)
        if left is not None:
            left *= self._packets_a_picture

        # Of several recovery points the one that is reached first counts.
        if left is not None and (self._left is None or left < self._left):
            self._left = left
            self._latest = stamp
        elif self._left is not None:
            # H.264 counts pictures that others are built upon, HEVC all of them.
            self._left -= is_reference(packet, self._codec)
            self._latest = max(self._latest, stamp)
        if self._left is not None and self._left <= 0:
            self._whole_from = self._latest

    def counts(self, picture: Any, stamp: int | None) -> bool:
        """Whether a picture that came out is whole, as are those that come after it."""
        if picture.key_frame and stamp in self._fed:
            return True
        if stamp is None:
            return False
        if self._whole_from is not None and stamp >= self._whole_from:
            return True

        # Nothing says so: see MAX_WAIT_SECONDS.
        seconds = float(stamp * picture.time_base)
        if self._first_seconds is None or seconds < self._first_seconds:
            self._first_seconds = seconds
        return seconds - self._first_seconds >= MAX_WAIT_SECONDS
