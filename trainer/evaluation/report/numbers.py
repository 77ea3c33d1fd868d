"""Numbers of results in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from surgstream.trainer.evaluation.report.result import Result, Value

NOTHING = "–"

_SHOWN = 8


def shown(value: float, metric: Mapping[str, Any]) -> str:
    """A metric's value as people print it: in per cent with one digit behind the point, or as it is with three."""
    if not math.isfinite(value):
        return NOTHING
    return f"{100 * value:.1f}" if metric["percent"] else f"{value:.3f}"


def with_interval(value: Value, metric: Mapping[str, Any]) -> str:
    """A value and its interval, such as `78.1 [75.0, 81.2]`."""
    return f"{shown(value.value, metric)} {interval(value.low, value.high, metric)}".rstrip()


def interval(low: float, high: float, metric: Mapping[str, Any]) -> str:
    """An interval such as `[75.0, 81.2]`; empty where there is none."""
    exists = math.isfinite(low) and math.isfinite(high)
    return f"[{shown(low, metric)}, {shown(high, metric)}]" if exists else ""


def counted(number: int, thing: str) -> str:
    """A number of things, such as `1 video` and `1,234 videos`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def some_of(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(names) - _SHOWN
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(names[:_SHOWN]) + more


def facts(result: Result) -> str:
    """What was scored, in a line."""
    parts = [
        f"task {result.task}, version {result.version}",
        f"{result.split} split: {counted(result.num_videos, 'video')}",
        counted(result.num_rows, "labelled row"),
    ]
    if result.num_groups != result.num_videos:
        parts.append(f"in {counted(result.num_groups, 'group')}")
    if result.parts:
        of_parts = (f"{part.num_videos:,} of {part.title}" for part in result.parts.values())
        parts.append(f"among them {', '.join(of_parts)}")
    return ", ".join(parts)
