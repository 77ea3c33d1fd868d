"""Settings of a synthetic corpus, and their limits."""

from dataclasses import dataclass

FPS = 25
MEAN_SECONDS = 20.0

MAX_FRAMES = 1 << 16
"""Most frames of a video: its frame numbers have 16 bits."""

MAX_TIMES = 20
"""Largest `times`: 620 videos, a corpus to try things on."""

SHORTEST = 0.6
LONGEST = 1.4
"""Bounds of a video's length, before the lengths are scaled to a mean of `seconds`."""

SECONDS_RANGE = (0.1, MAX_FRAMES / FPS * SHORTEST // LONGEST)
"""Range of `seconds`: every video has frames, and no more of them than a frame number can count."""


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """Settings of a synthetic corpus.

    Attributes:
        datasets: Names of the datasets to make; all where none is named. Each is the same whatever else is made.
        seconds: Mean length of a video.
        seed: Seed of everything random.
        times: Factor on the number of videos of every dataset, and of those that are held out.
        frame_numbers: Whether squares in the corners tell the number of the frame, so that tests can check what was
            read. They tell the time as well, and so give phases away.
    """

    datasets: tuple[str, ...] = ()
    seconds: float = MEAN_SECONDS
    seed: int = 0
    times: int = 1
    frame_numbers: bool = True
