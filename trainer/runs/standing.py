"""Whether a run goes on, from the marks and processes that it left and from what Slurm says."""

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
"""States that nobody but the user will end."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What tells how a run stands.

    Attributes:
        failed: The sentence of the mark FAILED.
        requeue: That of REQUEUE.
        alive: Whether its process lives; None if it may.
        queued: What Slurm says of the job that was submitted last.
        word: What Slurm says of the job that started last, if the run is that job's.
        saved: Whether its last step is saved.
        finished: Whether its last step is reported, and no checkpoint tells that it was still to be saved.
        written: Whether anything was written.
        quiet: Whether nothing was for longer than the run itself makes one expect.
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
    """The state of a run, and why."""
    word, cancelled = (
        signs.word,
        signs.word is not None and signs.word.state.startswith("CANCELLED"),
    )
    if signs.failed is not None:
        return "failed", signs.failed
    if (
        signs.queued
        and signs.queued.waits
        and not signs.alive
        and not (word and word.state == "RUNNING")
    ):
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
    is_elsewhere = (
        word is not None and word.state == FORGOTTEN and not signs.quiet
    )  # of another cluster, say
    if signs.alive is False or (word and word.has_ended and not signs.alive and not is_elsewhere):
        if cancelled:
            return "cancelled", str(word)
        if signs.finished:
            return "done", ""
        told = str(word) if word else "its process has ended"
        return "crashed", f"{told}; {signs.error or 'it left no word: see its log'}"

    if signs.quiet:
        return ("done" if signs.finished else "silent"), ""
    return ("training" if signs.reported else "starting"), ""


def read_writer(run_dir: Path) -> Record | None:
    """Who has written to a run directory last and not given it back."""
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
        writer: Who writes to the run directory.
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
            file.seek(max(0, file.seek(0, 2) - 2**16))
            lines = file.read(2**16).decode(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line]
    return "".join(letter for letter in errors[-1] if letter.isprintable()) if errors else ""
