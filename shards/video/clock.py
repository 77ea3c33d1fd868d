"""The times of a video's pictures, from its timestamps, which recorders reset and broadcasts let jump."""

from fractions import Fraction
from typing import Any

from surgstream.shards.video.container.files import Video
from surgstream.shards.video.sampling import Scale, Ticks

_STEP_BACK_SECONDS = Fraction(1, 2)
_BROADCAST_STEP_SECONDS = Fraction(10)
_BROADCAST = ("mpegts", "mpeg")
_UNKNOWN_RATE = Fraction(25)


class Clock:
    """Turns timestamps into times after the first picture, as FFmpeg does when it plays a file.

    Attributes:
        scale: The scale of the times.
        end: Time at which the latest picture ends, by its own duration.
        origin: The timestamp of time 0; None until there was a picture.
    """

    def __init__(self, video: Video) -> None:
        """Start the clock before the first picture.

        Args:
            video: The video.
        """
        usual_seconds = 1 / (video.header.rate or _UNKNOWN_RATE)
        self.scale = Scale(Fraction(video.stream.time_base), [usual_seconds])
        self.end: Ticks = 0
        self.origin: Ticks | None = None

        self._latest: Ticks = 0
        self._usual_duration = self.scale.of(usual_seconds)
        self._has_durations = not video.decode_times
        self._is_broadcast = video.header.kind in _BROADCAST
        self._step_back = round(_STEP_BACK_SECONDS * self.scale.per_second)
        self._broadcast_step = round(_BROADCAST_STEP_SECONDS * self.scale.per_second)

    def start(self, picture: Any) -> Ticks:
        """Tell when a picture comes on the screen, which is never before the last one.

        Where a clock was reset, as those of broadcasts are, time goes on from the end of the last picture.
        """
        step = picture.time_base
        if picture.pts is None:
            self._latest = self.end
        else:
            time = self.scale.of_stamp(picture.pts, step)
            if self.origin is None or self._was_reset(time - self.origin):
                self.origin = time - self.end
            self._latest = max(time - self.origin, self._latest)

        duration = self._usual_duration
        if self._has_durations and picture.duration:
            duration = self.scale.of_stamp(picture.duration, step)
        self.end = self._latest + duration
        return self._latest

    def _was_reset(self, time: Ticks) -> bool:
        """Whether a time is too far back, or in a broadcast too far ahead, to follow the last picture's."""
        if time < self._latest - self._step_back:
            return True
        return self._is_broadcast and time > self.end + self._broadcast_step
