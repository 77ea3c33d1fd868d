"""The state of a run, decided from the marks and processes that it left and from what Slurm says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.owner import OWNERS
from surgstream.shards.storage.owner_record import Record, is_hidden, started, this_process
from surgstream.trainer.runs.slurm import FORGOTTEN, Word

State = Literal[
    "not started",
    "starting",
    "training",
    "silent",
    "waiting",
    "stopped",
    "cancelled",
    "crashed",
    "failed",
    "done",
]
ENDED = ("stopped", "cancelled", "crashed", "failed", "done")
"""States that only the user ends."""

_LOG_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class Signs:
    """The signs by which the state of a run is decided.

    Attributes:
        failed: The sentence of the mark FAILED.
        requeue: The sentence of the mark REQUEUE.
        alive: Whether its process lives; None where that is not known.
        queued: What Slurm says of the job that was submitted last.
        word: What Slurm says of the job that started last, if the run is that job's.
        saved: Whether its last step is saved.
        finished: Whether its test is predicted, with which a run on a task ends; or its last step is reported and there
            is no checkpoint, so that nothing says it is not saved.
        written: Whether anything was written.
        quiet: Whether nothing was written for longer than the run's own reports lead one to expect.
        reported: Whether it has reported since its last start.
        error: The last error in its log.
    """

    failed: str | None
    requeue: str | None
    alive: bool | None
    queued: Word | None
    word: Word | None
    saved: bool
    finished: bool
    written: bool
    quiet: bool
    reported: bool
    error: str


def decide(signs: Signs) -> tuple[State, str]:
    """The state of a run, and the reason for it."""
    word = signs.word
    cancelled = word is not None and word.state.startswith("CANCELLED")
    if signs.failed is not None:
        return "failed", signs.failed
    if signs.queued and signs.queued.waits and not signs.alive:
        runs = word is not None and word.state == "RUNNING"
        if not runs:
            return "waiting", "; ".join(filter(None, [str(signs.queued), signs.requeue]))

    if signs.requeue is not None:
        if cancelled:
            return "cancelled", f"{word}; {signs.requeue}"
        return ("waiting" if word and not word.has_ended else "stopped"), signs.requeue

    if not signs.written:
        return "not started", str(signs.queued or "")
    if signs.saved and signs.reported:
        return "done", ""

    if signs.alive is False and word and not word.has_ended:
        return "waiting", f"{word}, and decides what follows: its processes have ended"
    if _has_ended(signs):
        if cancelled:
            return "cancelled", str(word)
        # A finished run that is started again finds nothing to do, and has nothing to report.
        if signs.finished or (signs.saved and not signs.error):
            return "done", ""
        told = str(word) if word else "its process has ended"
        return "crashed", f"{told}; {signs.error or 'it left no word: see its log'}"

    if signs.quiet:
        return ("done" if signs.finished else "silent"), ""
    return ("training" if signs.reported else "starting"), ""


def _has_ended(signs: Signs) -> bool:
    """Whether the run's process has ended, by its own machine or by Slurm."""
    if signs.alive is not None:
        return not signs.alive
    if signs.word is None:
        return False
    # Slurm may have forgotten a job that writes because the job is another cluster's.
    is_elsewhere = signs.word.state == FORGOTTEN and not signs.quiet
    return signs.word.has_ended and not is_elsewhere


def read_writer(run_dir: Path) -> Record | None:
    """The process that has written to a run directory last and not given it back."""
    numbers = sorted(path for path in (run_dir / OWNERS).glob("[0-9]*") if path.name.isdecimal())
    for path in reversed(numbers):
        try:
            return Record.from_bytes(path.read_bytes(), where=str(path))
        except (OSError, StorageError):
            continue
    return None


def lives(writer: Record | None, *, has_begun: bool) -> bool | None:
    """Whether the process of a run lives; None where only its own machine could tell.

    Args:
        writer: The process that writes to the run directory.
        has_begun: Whether the last start has written anything, which only a writer does.
    """
    if writer is None:
        return False if has_begun else None
    if not writer.machine or writer.machine != this_process("").machine or is_hidden(writer.pid):
        return None
    return started(writer.pid) == writer.started


def last_error(log: Path) -> str:
    """The last error in a log; empty where there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_BYTES))
            lines = file.read(_LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line]
    if not errors:
        return ""
    return "".join(letter for letter in errors[-1] if letter.isprintable())
