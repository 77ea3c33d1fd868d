"""How fast a run steps, by its own reports, and how long it may therefore be quiet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from surgstream.trainer.runs.json_lines import Line

_PACE_REPORTS = 10
_FIRST_REPORT_SECONDS = 900.0
_LEAST_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast steps follow each other.

    Attributes:
        step_seconds: A step, the mean of the last ten reports.
        pause_seconds: What evaluations, pictures and checkpoints cost beside each step: wall-clock time between the
            reports that the tail of the metrics holds since the last start, less the steps' own.
    """

    step_seconds: float
    pause_seconds: float


def patience_of(recent: Sequence[Line]) -> float:
    """How long a run may write nothing before it counts as silent, from its own reports since its last start."""
    if len(recent) < 2:
        return _FIRST_REPORT_SECONDS
    longest: float = max(after["time"] - before["time"] for before, after in pairwise(recent))
    return max(_LEAST_PATIENCE_SECONDS, 3 * longest)


def pace_of(reports: Sequence[Line], recent: Sequence[Line]) -> Pace | None:
    """The pace that reports tell; None where there are none.

    Args:
        reports: Whose steps count.
        recent: Those since the run's last start, whose pauses count.
    """
    if not reports:
        return None

    last = [line["time/step_seconds"] for line in reports[-_PACE_REPORTS:]]
    steps, pause = 0, 0.0
    for before, after in pairwise(recent):
        between = after["step"] - before["step"]
        steps += between
        pause += after["time"] - before["time"] - between * after["time/step_seconds"]

    return Pace(
        step_seconds=sum(last) / len(last),
        pause_seconds=max(0.0, pause / steps) if steps > 0 else 0.0,
    )


def seconds_left(pace: Pace | None, steps_left: int | None, passed: float) -> float | None:
    """How long the steps left take, less what has passed since the last report; None where either is not known."""
    if pace is None or steps_left is None:
        return None
    return max(0.0, steps_left * (pace.step_seconds + pace.pause_seconds) - passed)
