"""The Slurm jobs of a run, as its run directory names them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from surgstream.trainer.runs.files import JOBS, SUBMITTED
from surgstream.trainer.runs.json_lines import Line, get_float, get_str, tail


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run's last Slurm job, as the batch script noted its starts.

    Attributes:
        id: The last job.
        nodes: Its nodes, as Slurm writes them.
        seconds_left: Until Slurm ends it, below 0 once that is past; None without a limit.
        starts: How often a job of this run started.
        requeues: How many of these starts were a requeued job's.
    """

    id: str
    nodes: str
    seconds_left: float | None
    starts: int
    requeues: int


def jobs_of(run_dir: Path) -> tuple[str, str]:
    """The Slurm job that was submitted last for a run, and the one that started last; empty where there is none."""
    submitted = _last_id(run_dir / SUBMITTED)
    started = _last_id(run_dir / JOBS)
    return submitted or started, started


def starts_among(jobs: Iterable[Line]) -> list[Line]:
    """The starts among the lines of `jobs.jsonl`; the others tell of nodes that are left out."""
    return [line for line in jobs if "excluded" not in line and "forgotten" not in line]


def last_job(jobs: Sequence[Line], now: float) -> Job | None:
    """The last job of a run; None where none has started.

    Args:
        jobs: The starts among the lines of `jobs.jsonl`.
        now: The time, in unix seconds.
    """
    if not jobs:
        return None
    last = jobs[-1]
    end = get_float(last, "end")
    return Job(
        id=get_str(last, "job") or "",
        nodes=get_str(last, "nodes") or "",
        seconds_left=end - now if end else None,
        starts=len(jobs),
        requeues=sum(bool(get_float(job, "restart")) for job in jobs),
    )


def _last_id(path: Path) -> str:
    lines = starts_among(tail(path))
    return (get_str(lines[-1], "job") or "") if lines else ""
