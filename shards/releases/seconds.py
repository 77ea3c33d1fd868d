"""Whole seconds of tables that have a row for every frame, or for every one that was looked at."""

from collections.abc import Callable, Iterable, Iterator

from surgstream.shards.releases.release import Row
from surgstream.shards.releases.tables import Line

FPS = 25
"""Frames a second of the videos of most releases."""


def whole_seconds(
    lines: Iterable[Line], label: Callable[[Line], str], *, column: str = "Frame", fps: int = FPS
) -> Iterator[Row]:
    """Yield second and label of those lines whose frame begins a second.

    Args:
        lines: A table's lines.
        label: From a line to its label.
        column: The column of the frame's number, from 0.
        fps: Frames a second.

    Raises:
        ReleaseError: A frame is no whole number, or what `label` raises.
    """
    for line in lines:
        second, rest = divmod(line.whole(column), fps)
        if rest == 0:
            yield second, label(line)
