"""The times of a video's pictures, from its timestamps, which recorders set anew and broadcasts let jump."""

from fractions import Fraction
from typing import Any

from surgstream.shards.video.container.files import Video
from surgstream.shards.video.sampling import Scale, Ticks

_CLOCK_STEPS_SECONDS = Fraction(1, 2), 10  # back, and, of broadcasts, forward
_BROADCAST = ("mpegts", "mpeg")
_UNKNOWN_RATE = Fraction(25)


class Clock:
    """Turns timestamps into times after the first picture, as FFmpeg does when it plays a file.

    Attributes:
        scale: What times are counted in.
        end: When the latest picture ends, by its own duration.
        origin: The timestamp of time 0; None until there was a picture.
    """

    def __init__(self, video: Video) -> None:
        """No picture was there yet.

        Args:
            video: The video.
        """
        step, usual = Fraction(video.stream.time_base), 1 / (video.header.rate or _UNKNOWN_RATE)
        self.scale = Scale(step, [usual])
        self.end: Ticks = 0
        self.origin: Ticks | None = None
        self._latest: Ticks = 0
        self._usual, self._has_durations = self.scale.of(usual), not video.decode_times
        self._is_broadcast = video.header.kind in _BROADCAST
        self._step_back, self._step = (
            round(each * self.scale.per_second) for each in _CLOCK_STEPS_SECONDS
        )

    def start(self, picture: Any) -> Ticks:
        """When a picture comes on the screen, and never before the one that was shown last.

        Where a clock was set anew, and broadcasts' clocks are, time goes on where it was.
        """
        step = picture.time_base
        if picture.pts is None:
            self._latest = self.end
        else:
            time = self.scale.of_stamp(picture.pts, step)
            if self.origin is None or self._is_set_anew(time - self.origin):
                self.origin = time - self.end
            self._latest = max(time - self.origin, self._latest)
        has_duration = self._has_durations and picture.duration
        self.end = self._latest + (
            self.scale.of_stamp(picture.duration, step) if has_duration else self._usual
        )
        return self._latest

    def _is_set_anew(self, time: Ticks) -> bool:
        forward = self._is_broadcast and time > self.end + self._step
        return forward or time < self._latest - self._step_back
