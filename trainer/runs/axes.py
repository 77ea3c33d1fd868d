"""The axes of a plot: from numbers to places on the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from surgstream.trainer.runs.ticks import linear_ticks, logarithmic_ticks

SMALLEST = 1e-3
"""What is less lies at the bottom of a logarithmic axis."""

_MARGIN = 0.06
"""Of the height, above and below what is shown."""

Scale = Literal["logarithmic", "linear", "logarithmic across"]
"""`logarithmic`: both axes are; x is then above 0, and a y below 0.001 lies at the bottom. `linear`: both begin at 0,
or below it where a y does. `logarithmic across`: x is, above 0, and y is linear, around the ys that there are."""


@dataclass(frozen=True)
class Axis:
    """Maps numbers from `low` to `high` to places on the page, from `start` to `stop`; `ticks` are written along it."""

    low: float
    high: float
    start: float
    stop: float
    ticks: Sequence[float]
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a number."""
        if self.is_logarithmic:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def across(xs: Sequence[float], scale: Scale, start: float, stop: float) -> Axis:
    """The horizontal axis.

    Args:
        xs: What it must show.
        scale: Which kind it is of.
        start: Its left end on the page.
        stop: Its right end.
    """
    if scale == "logarithmic":
        ticks = sorted(set(xs))
        return Axis(ticks[0] / 1.25, ticks[-1] * 1.25, start, stop, ticks, is_logarithmic=True)
    if scale == "logarithmic across":
        ticks = logarithmic_ticks(xs)
        return Axis(ticks[0], ticks[-1], start, stop, ticks, is_logarithmic=True)

    # What is 0 everywhere lies on an axis up to 1
    rightmost = max(xs) or 1.0
    return Axis(0.0, 1.05 * rightmost, start, stop, linear_ticks(0.0, rightmost))


def upwards(ys: Sequence[float], scale: Scale, bottom: float, top: float) -> Axis:
    """The vertical axis.

    Args:
        ys: What it must show.
        scale: Which kind it is of.
        bottom: Its lower end on the page.
        top: Its upper end.
    """
    if scale == "logarithmic":
        ticks = logarithmic_ticks([y for y in ys if y > SMALLEST] or [1.0])
        return Axis(ticks[0], ticks[-1], bottom, top, ticks, is_logarithmic=True)
    if scale == "logarithmic across":
        margin = _MARGIN * (max(ys) - min(ys)) or 0.1 * abs(ys[0]) or 1.0
        lowest = min(ys) - margin
        highest = max(ys) + margin
        return Axis(lowest, highest, bottom, top, linear_ticks(lowest, highest))

    lowest = min(0.0, *ys)
    highest = max(0.0, *ys) or (0.0 if lowest else 1.0)
    return Axis(lowest, highest, bottom, top, linear_ticks(lowest, highest))


def shortly(tick: float) -> str:
    """A number along the horizontal axis: 200000 is `200k`, and 1e20 itself."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if 10**power <= abs(tick) < 10**15:
            return f"{tick / 10**power:g}{letter}"
    return f"{tick:g}".replace("e+", "e")
