"""Times at which pictures are on the screen, and the picture for each frame."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

Ticks = int | Fraction
"""A time or a length in ticks: a whole number, or a fraction, ten times as slow, where no whole number is exact."""


class Shown(NamedTuple):
    """A picture and the time it is on the screen: [start, stop) after the video's first shown picture."""

    start: Ticks
    stop: Ticks
    picture: Any


class Scale:
    """Counts the times of a video in ticks that fit its timestamps.

    Attributes:
        per_second: Number of ticks in a second.
    """

    def __init__(self, step: Fraction, others: Iterable[Fraction] = ()) -> None:
        """Choose the ticks.

        Args:
            step: Unit of the timestamps, in seconds.
            others: Further lengths in seconds that are to be whole numbers of ticks.
        """
        # Deinterlaced pictures have timestamps of half the step.
        self.per_second = math.lcm(2 * step.denominator, *(other.denominator for other in others))
        self._step = step
        self._step_ticks = self.of(step)

    def of(self, seconds: Fraction) -> Ticks:
        """Convert seconds to ticks."""
        ticks = seconds * self.per_second
        return ticks.numerator if ticks.denominator == 1 else ticks

    def of_stamp(self, stamp: int, step: Fraction) -> Ticks:
        """Convert a timestamp to ticks.

        Args:
            stamp: The timestamp.
            step: Its unit in seconds.
        """
        ticks = self._step_ticks if step == self._step else self.of(Fraction(step))
        return stamp * ticks

    def seconds(self, ticks: Ticks) -> Fraction:
        """Convert ticks to seconds."""
        return Fraction(ticks) / self.per_second


def first_frame(time: Ticks, frames_a_tick: Fraction) -> int:
    """Find the number of the first frame that is taken at a time or after it."""
    return int(-(-time * frames_a_tick.numerator // frames_a_tick.denominator))


def pick(pictures: Iterable[Shown], frames_a_tick: Fraction) -> Iterator[tuple[int, Any]]:
    """Pick for each k the picture on the screen when frame k is taken, in exact arithmetic.

    A picture that stays long is picked again; one that is gone before the next frame never is.

    Args:
        pictures: Pictures in order of time, not overlapping.
        frames_a_tick: Frames taken in the unit of the pictures' times, a tick or a second.

    Yields:
        k and the picture, for every k at which there is one.
    """
    for number, shown in pick_shown(pictures, frames_a_tick):
        yield number, shown.picture


def pick_shown(pictures: Iterable[Shown], frames_a_tick: Fraction) -> Iterator[tuple[int, Shown]]:
    """Pick as `pick` does, and yield the times of each picture with it."""
    for shown in pictures:
        start = first_frame(shown.start, frames_a_tick)
        stop = first_frame(shown.stop, frames_a_tick)
        for number in range(start, stop):
            yield number, shown
