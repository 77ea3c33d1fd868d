"""Runs the cells of a suite, each by its command in a process of its own, so that one that fails harms no other."""

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from surgstream.configs.files import read_text, write_atomically
from surgstream.trainer.runs.files import FAILED, REQUEUE, read_mark
from surgstream.trainer.suite.cells import Cell

RECORD = "cell.json"
OUTPUT = "output.log"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_TAIL_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a cell beside its predictions.

    Attributes:
        state: How its last start ended; `running` where it has not, or was killed; `not possible` where something is
            missing that no start can do without.
        reason: Why it failed or stopped.
    """

    state: Literal["new", "running", "done", "stopped", "failed", "not possible"] = "new"
    reason: str = ""


def read_cell(cell: Cell, out: Path) -> Record:
    """What is known of a cell; a record that cannot be read is as good as none, as where a job runs it."""
    if cell.missing:
        return Record(state="not possible", reason=cell.missing)
    try:
        tree = json.loads(read_text(cell.folder(out) / RECORD))
        record = Record(**{name: tree[name] for name in asdict(Record())})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        record = Record()

    failed = read_mark(cell.folder(out), FAILED)
    stopped = read_mark(cell.folder(out), REQUEUE)
    if failed is not None:
        return replace(record, state="failed", reason=failed)
    return record if stopped is None else replace(record, state="stopped", reason=stopped)


def run_cell(cell: Cell, out: Path, processes: int) -> Record:
    """Run a cell to its end, unless it is done; signals that ask to stop are passed on to it.

    Args:
        cell: The cell; nothing is missing.
        out: The suite's directory.
        processes: Processes of the run, under torchrun where there are several.

    Returns:
        How it ended.
    """
    if cell.predictions(out):
        return read_cell(cell, out)

    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as output:
        # Its process has the lock, too, so a run that outlived another start of the suite is waited for.
        fcntl.flock(output, fcntl.LOCK_EX)
        if cell.predictions(out):
            return read_cell(cell, out)

        write_record(cell, out, Record(state="running"))
        status = _run(command_line(cell, out, processes), output)

    state, reason = _ended(cell, out, status)
    record = Record(state=state, reason=reason)
    write_record(cell, out, record)
    return record


def write_record(cell: Cell, out: Path, record: Record) -> None:
    """Write what is known of a cell, and which cell it is."""
    about = {
        "task": cell.task,
        "protocol": cell.protocol,
        "model": cell.model.name,
        "weights": cell.model.weights,
        "weights_sha256": cell.model.sha256,
        "seed": cell.seed,
        "key": cell.key,
        "words": list(cell.words),
    }
    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RECORD, json.dumps({**about, **asdict(record)}, indent=1) + "\n")


def command_line(cell: Cell, out: Path, processes: int) -> list[str]:
    """The command of a cell, as words."""
    words = [
        "-m",
        "surgstream",
        cell.command,
        cell.protocol,
        *cell.words,
        f"run_dir={cell.folder(out)}",
    ]
    if processes == 1:
        return [sys.executable, *words]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *torchrun, *words]


def _run(words: Sequence[str], output: Any) -> int:
    # In a group of its own: Ctrl-C of a terminal reaches it once, by us.
    with (
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
        _passing_signals(process),
    ):
        return process.wait()


@contextmanager
def _passing_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on to a process while it runs."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(cell: Cell, out: Path, status: int) -> tuple[Literal["done", "stopped", "failed"], str]:
    """How a run ended, by what it left; torchrun swallows exit statuses."""
    folder = cell.folder(out)
    if cell.predictions(out):
        return "done", ""
    stopped = read_mark(folder, REQUEUE)
    if stopped is not None:
        return "stopped", stopped
    failed = read_mark(folder, FAILED)
    if failed is not None:
        return "failed", failed
    return "failed", f"exit status {status}: {_last_line(folder / OUTPUT)}"


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    text = said[-1] if said else "it said nothing"
    return "".join(letter for letter in text if letter.isprintable())
