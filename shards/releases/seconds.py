"""Whole seconds of what has labels for every frame, or for intervals of time."""

import math
from collections.abc import Callable, Iterable, Iterator

from surgstream.shards.releases.release import Row
from surgstream.shards.releases.tables import Line

FPS = 25
"""Frames a second of the videos of most releases."""

Interval = tuple[float, float, str]
"""The seconds from and up to which a label holds, without the last, and the label."""


def whole_seconds(
    lines: Iterable[Line],
    label: Callable[[Line], str],
    *,
    column: str = "Frame",
    fps: int = FPS,
    first: int = 0,
) -> Iterator[Row]:
    """Yield second and label of those lines whose frame begins a second.

    Args:
        lines: A table's lines.
        label: From a line to its label.
        column: The column of the frame's number.
        fps: Frames a second.
        first: The number of the frame that second 0 begins with.

    Raises:
        ReleaseError: A frame is no whole number, or what `label` raises.
    """
    for line in lines:
        second, rest = divmod(line.whole(column) - first, fps)
        if rest == 0:
            yield second, label(line)


def covered_seconds(intervals: Iterable[Interval]) -> tuple[Row, ...]:
    """Find the whole seconds that intervals cover, in order.

    Args:
        intervals: Where several cover a second, the last of them has it.
    """
    found: dict[int, str] = {}
    for start, end, label in intervals:
        found.update(dict.fromkeys(range(math.ceil(start), math.ceil(end)), label))
    return tuple(sorted(found.items()))
