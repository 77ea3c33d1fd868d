"""When pictures are on the screen, and which one is when a frame is taken."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

Ticks = int | Fraction
"""A time or a length as a whole number of ticks; as a fraction, which takes ten times as long, where none will do."""


class Shown(NamedTuple):
    """A picture and the time it is on the screen: [start, stop) after the video's first shown picture."""

    start: Ticks
    stop: Ticks
    picture: Any


class Scale:
    """Counts the times of a video in ticks that fit its timestamps.

    Attributes:
        per_second: How many ticks a second has.
    """

    def __init__(self, step: Fraction, others: Iterable[Fraction] = ()) -> None:
        """Choose the ticks.

        Args:
            step: What timestamps count, in seconds.
            others: Further lengths in seconds that whole numbers of ticks make.
        """
        # Deinterlaced pictures have timestamps of half the step.
        self.per_second = math.lcm(2 * step.denominator, *(other.denominator for other in others))
        self._step, self._ticks = step, self.of(step)

    def of(self, seconds: Fraction) -> Ticks:
        """A time in ticks."""
        ticks = seconds * self.per_second
        return ticks.numerator if ticks.denominator == 1 else ticks

    def of_stamp(self, stamp: int, step: Fraction) -> Ticks:
        """A timestamp in ticks.

        Args:
            stamp: The timestamp.
            step: What it counts, in seconds.
        """
        return stamp * (self._ticks if step == self._step else self.of(Fraction(step)))

    def seconds(self, ticks: Ticks) -> Fraction:
        """A time in seconds."""
        return Fraction(ticks) / self.per_second


def first_frame(time: Ticks, frames_a_tick: Fraction) -> int:
    """The number of the first frame that is taken at a time or after it."""
    return int(-(-time * frames_a_tick.numerator // frames_a_tick.denominator))


def pick(pictures: Iterable[Shown], frames_a_tick: Fraction) -> Iterator[tuple[int, Any]]:
    """For each k, the picture on the screen when frame k is taken, in exact arithmetic.

    A picture that stays long is picked again; one that is gone before the next frame never is.

    Args:
        pictures: In order of time, not overlapping.
        frames_a_tick: How many frames are taken in a tick, or in a second, if that is what the pictures' times are in.

    Yields:
        k and the picture, for every k at which there is one.
    """
    for shown in pictures:
        for number in range(
            first_frame(shown.start, frames_a_tick), first_frame(shown.stop, frames_a_tick)
        ):
            yield number, shown.picture
