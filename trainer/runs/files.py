"""The names of the files in a run directory, and the marks by which a run tells how it ended.

torchrun swallows exit statuses, so a run says in its directory how it ended. `REQUEUE`: it stopped where it was told to
and goes on when it is started again. `FAILED`: it would fail again. Each holds one sentence; a start removes both.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from surgstream.configs.errors import SurgstreamError
from surgstream.configs.files import open_regular, write_atomically
from surgstream.trainer.errors import PreflightError

REQUEUE = "REQUEUE"
FAILED = "FAILED"
REFUSALS = "SURGSTREAM_REFUSALS"
"""The variable in which a job's script names a file. A start that may not train, since another one trains in its run
directory, writes a sentence there."""
UNFIT = "SURGSTREAM_UNFIT"
"""The variable in which it names another: there a start that fails for the sake of some nodes tells which and why."""

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
JOBS = "jobs.jsonl"
SUBMITTED = "submitted.jsonl"
QUARANTINE = "quarantine.jsonl"
LOG = "train.log"
AUDIT = "audit"
CHECKPOINTS = "checkpoints"
GRID = "grid.json"
PREDICTIONS = "predictions"
STACKS = "stacks"
PROFILES = "profiles"
FLIGHT_RECORDER = "flight_recorder"

_MARK_BYTES = 4096
"""The most of a mark that is read."""


def checkpoint_name(step: int) -> str:
    """The name of a step's checkpoint."""
    return f"step_{step:08d}"


def checkpoints_in(folder: Path) -> list[Path]:
    """The published checkpoints in a folder, newest first."""
    return sorted(folder.glob("step_" + "[0-9]" * 8), reverse=True)


def stacks_file(run_dir: Path, rank: int) -> Path:
    """The file into which a rank that hangs writes its stacks."""
    return run_dir / STACKS / f"rank{rank:05d}.txt"


def predictions_file(run_dir: Path, split: str) -> Path:
    """The file of what a run has predicted for a split of its task."""
    return run_dir / PREDICTIONS / f"{split}.npz"


def tests_in(run_dir: Path) -> list[Path]:
    """The files of what a run has predicted for the test split; temporal probes have one for each seed."""
    return sorted((run_dir / PREDICTIONS).glob("test*.npz"))


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
    write_atomically(run_dir / mark, sentence + "\n")


def read_mark(run_dir: Path, mark: str, *, since: float = 0.0) -> str | None:
    """Return the sentence of a mark, in printable letters; None where there is none that can be read.

    Args:
        run_dir: The run's directory.
        mark: `REQUEUE` or `FAILED`.
        since: An older mark does not count, in unix seconds.
    """
    with suppress(OSError), open_regular(run_dir / mark) as file:
        if os.fstat(file.fileno()).st_mtime >= since:
            words = file.read(_MARK_BYTES).decode(errors="replace").split()
            return "".join(letter for letter in " ".join(words) if letter.isprintable())
    return None


def remove_marks(run_dir: Path) -> None:
    """Forget how the run ended last time."""
    for mark in (REQUEUE, FAILED):
        (run_dir / mark).unlink(missing_ok=True)


@contextmanager
def marked_when_failing(run_dir: Path, ours: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Mark the run as failed when its block raises what would be raised again; errors that may pass leave no mark.

    An unfit node passes where the run has trained before: its next start may get better nodes.

    Args:
        run_dir: The run's directory.
        ours: Whether this process belongs to the one run that may write there.
    """
    try:
        yield
    except SurgstreamError as error:
        has_trained = any(checkpoints_in(run_dir / CHECKPOINTS))
        may_pass = isinstance(error, PreflightError) and has_trained
        if ours() and error.comes_again and not may_pass:
            with suppress(OSError):  # the error itself is what the user is to read
                write_mark(run_dir, FAILED, str(error))
        raise
