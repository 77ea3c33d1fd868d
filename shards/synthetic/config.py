"""What a synthetic corpus may be like."""

from dataclasses import dataclass

FPS = 25
MEAN_SECONDS = 20.0

MAX_FRAMES = 1 << 16
"""Of a video: its frame numbers have 16 bits."""

MOST_TIMES = 20
"""Video numbers have two digits."""

SHORTEST, LONGEST = 0.6, 1.4
"""Bounds of a video's length, before the lengths are scaled to their mean."""

SECONDS_RANGE = (0.1, MAX_FRAMES / FPS * SHORTEST // LONGEST)
"""Of that mean: every video has frames, and no more of them than a frame number can count."""


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """Which corpus to make.

    Attributes:
        seconds: Mean length of a video.
        seed: Of everything random.
        times: So many times as many videos of every dataset, and of those that are held out.
        frame_numbers: Whether squares in the corners tell the number of the frame, for tests of what was read. They
            tell the time as well, and so give phases away.
    """

    seconds: float = MEAN_SECONDS
    seed: int = 0
    times: int = 1
    frame_numbers: bool = True
