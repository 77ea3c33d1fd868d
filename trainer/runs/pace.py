"""The pace of a run by its own reports, and how long the run may therefore be quiet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from surgstream.trainer.runs.json_lines import Line

_PACE_REPORTS = 10
_FIRST_REPORT_SECONDS = 900.0
_MIN_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The time that each step takes.

    Attributes:
        step_seconds: Of the step itself, the mean of the last ten reports.
        pause_seconds: Of evaluations, pictures and checkpoints, spread over the steps: wall-clock time between the
            reports that the tail of the metrics holds since the last start, less the steps' own.
    """

    step_seconds: float
    pause_seconds: float


def patience_of(recent: Sequence[Line]) -> float:
    """The seconds after which a run that writes nothing is silent, from its own reports since its last start."""
    if len(recent) < 2:
        return _FIRST_REPORT_SECONDS
    pauses: list[float] = [after["time"] - before["time"] for before, after in pairwise(recent)]
    return max(_MIN_PATIENCE_SECONDS, 3 * max(pauses))


def pace_of(reports: Sequence[Line], recent: Sequence[Line]) -> Pace | None:
    """The pace of a run by its reports; None where there are none.

    Args:
        reports: Reports of steps, for `step_seconds`.
        recent: Those since the run's last start, for `pause_seconds`.
    """
    if not reports:
        return None

    last = [line["time/step_seconds"] for line in reports[-_PACE_REPORTS:]]
    step_seconds = sum(last) / len(last)

    steps = 0
    pause = 0.0
    for before, after in pairwise(recent):
        steps_between = after["step"] - before["step"]
        steps += steps_between
        pause += after["time"] - before["time"] - steps_between * after["time/step_seconds"]

    pause_seconds = max(0.0, pause / steps) if steps > 0 else 0.0
    return Pace(step_seconds=step_seconds, pause_seconds=pause_seconds)


def seconds_left(pace: Pace | None, steps_left: int | None, passed: float) -> float | None:
    """The seconds that the steps left take, less those passed since the last report; None where that is not known."""
    if pace is None or steps_left is None:
        return None
    return max(0.0, steps_left * (pace.step_seconds + pace.pause_seconds) - passed)
