"""How the runs of a suite end, whatever ends them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from surgstream.trainer.suite import running
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.running import OUTPUT, RECORD, command_line, read_cell, run_cell
from tests.trainer.suite.made_up import MadeUp, make, suite_of


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make(tmp_path)


@pytest.fixture
def cell(made: MadeUp) -> Cell:
    (cell,) = made.cells(suite_of(made.task()), ["weights=pixels", "encoder.num_frames=2"])
    return cell


def stands_for(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let a program stand for the command of a cell; it is given the run directory."""

    def words(cell: Cell, out: Path, processes: int) -> list[str]:
        return [sys.executable, "-c", textwrap.dedent(program), str(cell.folder(out))]

    monkeypatch.setattr(running, "command_line", words)


DONE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]) / "predictions"
folder.mkdir()
(folder / "test.npz").write_bytes(b"")
"""


def test_the_command_is_what_a_user_would_call(cell: Cell, tmp_path: Path) -> None:
    words = command_line(cell, tmp_path, 1)
    assert words[1:5] == ["-m", "surgstream", "probe", "probe_ridge"]
    assert "weights=pixels" in words and "encoder.num_frames=2" in words
    assert words[-1] == f"run_dir={cell.folder(tmp_path)}"
    assert "--nproc-per-node=8" in command_line(cell, tmp_path, 8)


def test_a_cell_that_is_done_is_not_run_again(
    cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_for(monkeypatch, DONE)
    record = run_cell(cell, made.places.out, 1)
    assert record.state == "done"
    stands_for(monkeypatch, "raise SystemExit(1)")
    assert run_cell(cell, made.places.out, 1) == record == read_cell(cell, made.places.out)


def test_the_reason_of_a_failure_is_its_mark_or_the_last_that_it_said(
    cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_for(monkeypatch, "print('first'); print('weights: no such file'); raise SystemExit(3)")
    record = run_cell(cell, made.places.out, 1)
    assert (record.state, record.reason) == ("failed", "exit status 3: weights: no such file")

    program = "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'FAILED').write_text('all heads diverged')"
    stands_for(monkeypatch, program)
    assert run_cell(cell, made.places.out, 1).reason == "all heads diverged"

    stands_for(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    (cell.folder(made.places.out) / "FAILED").unlink()
    assert run_cell(cell, made.places.out, 1).reason.startswith("exit status -9")


def test_a_failed_cell_is_tried_again(
    cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_for(monkeypatch, "raise SystemExit(1)")
    assert run_cell(cell, made.places.out, 1).state == "failed"
    stands_for(monkeypatch, DONE)
    assert run_cell(cell, made.places.out, 1).state == "done"


def test_a_signal_is_passed_on_and_the_cell_counts_as_stopped(
    cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
    import pathlib, signal, sys, time
    folder = pathlib.Path(sys.argv[1])
    def stop(*_):
        (folder / "REQUEUE").write_text("SIGTERM on rank 0")
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    (folder / "ready").touch()
    time.sleep(60)
    """
    stands_for(monkeypatch, program)
    ready = cell.folder(made.places.out) / "ready"

    def ask_to_stop() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=ask_to_stop)
    thread.start()
    record = run_cell(cell, made.places.out, 1)
    thread.join()
    assert (record.state, record.reason) == ("stopped", "SIGTERM on rank 0")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_outlived_its_suite_is_waited_for(
    cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL of the suite's own process: the run has its lock, and ends by itself."""
    folder = cell.folder(made.places.out)
    folder.mkdir(parents=True)
    program = "import fcntl, sys, time; time.sleep(1.5);" + DONE.replace("\n", ";").strip(";")
    script = f"""
    import fcntl, subprocess, sys
    output = open({str(folder / OUTPUT)!r}, "ab")
    fcntl.flock(output, fcntl.LOCK_EX)
    subprocess.Popen([sys.executable, "-c", {program!r}, {str(folder)!r}], stdout=output, stderr=output)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)

    stands_for(monkeypatch, "raise SystemExit('two runs at once')")
    assert not cell.predictions(made.places.out)
    run_cell(cell, made.places.out, 1)
    assert cell.predictions(made.places.out)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": 3}', '{"state": "done"}'])
def test_a_damaged_record_is_as_good_as_none(cell: Cell, made: MadeUp, text: str) -> None:
    folder = cell.folder(made.places.out)
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(text)
    assert read_cell(cell, made.places.out).state == "new"


def test_a_record_tells_what_ran(cell: Cell, made: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for(monkeypatch, DONE)
    run_cell(cell, made.places.out, 1)
    tree = json.loads((cell.folder(made.places.out) / RECORD).read_text())
    assert tree["model"] == "pixels" and tree["key"] == cell.key and tree["seed"] == 0
