"""What the files in a run directory are called, and the two marks that a run leaves for whoever started it.

torchrun swallows exit statuses, so a run says in its directory how it ended. `REQUEUE`: it stopped where it was told to
and goes on when it is started again. `FAILED`: it would fail again. Each holds one sentence; a start removes both.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from configs.errors import SurgstreamError
from trainer.errors import DistributedError, PreflightError

REQUEUE = "REQUEUE"
FAILED = "FAILED"
METRICS = "metrics.jsonl"
JOBS = "jobs.jsonl"
QUARANTINE = "quarantine.jsonl"
LOG = "train.log"
AUDIT = "audit"
CHECKPOINTS = "checkpoints"
STACKS = "stacks"
PROFILES = "profiles"
FLIGHT_RECORDER = "flight_recorder"


def checkpoint_name(step: int) -> str:
    """What the checkpoint of a step is called."""
    return f"step_{step:08d}"


def checkpoints_in(folder: Path) -> list[Path]:
    """The published checkpoints in a folder, newest first."""
    return sorted(folder.glob("step_" + "[0-9]" * 8), reverse=True)


def write_mark(run_dir: Path, mark: str, sentence: str) -> None:
    """Leave a mark; it is there with its whole sentence or not at all.

    Args:
        run_dir: The run's directory, made if need be.
        mark: `REQUEUE` or `FAILED`.
        sentence: Why.

    Raises:
        OSError: It cannot be written.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    partial = run_dir / f".{mark}-{platform.node()}-{os.getpid()}"  # every rank may write one
    partial.write_text(sentence + "\n", encoding="utf-8")
    partial.replace(run_dir / mark)


def read_mark(run_dir: Path, mark: str) -> str | None:
    """The sentence of a mark, or None where there is none."""
    try:
        return (run_dir / mark).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def check_owner(run_dir: Path) -> None:
    """Make sure that no later start of a Slurm job has taken the run over.

    A node that Slurm has lost may be alive: its ranks train on while the job has begun anew elsewhere.

    Raises:
        DistributedError: Another start is the last one in `jobs.jsonl`.
    """
    jobs, job = run_dir / JOBS, os.environ.get("SLURM_JOB_ID")
    if job is None or not jobs.exists():
        return
    lines = map(json.loads, jobs.read_text(encoding="utf-8").splitlines())
    starts = [(line["job"], line["restart"]) for line in lines]
    ours = job, int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if ours in starts and starts[-1] != ours:  # who is not there was started by hand
        raise DistributedError(
            f"{jobs}: expected start {ours[1]} of job {ours[0]} to be the last, got start {starts[-1][1]} of job "
            f"{starts[-1][0]}, which has taken this run over; this one ends without saving"
        )


def remove_marks(run_dir: Path) -> None:
    """Forget how the run ended last time."""
    for mark in (REQUEUE, FAILED):
        (run_dir / mark).unlink(missing_ok=True)


@contextmanager
def marked_when_failing(run_dir: Path) -> Iterator[None]:
    """Mark the run as failed when its block raises what would be raised again; errors that may pass leave no mark.

    Nodes that are not fit for a run which has trained before are such: its next start may get better ones.
    """
    try:
        yield
    except SurgstreamError as error:
        has_trained = any(checkpoints_in(run_dir / CHECKPOINTS))
        if error.comes_again and not (isinstance(error, PreflightError) and has_trained):
            with suppress(OSError):  # the error itself is what the user is to read
                write_mark(run_dir, FAILED, str(error))
        raise
