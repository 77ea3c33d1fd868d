"""What processes that hang or crash leave behind; each is a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from surgstream.trainer.engine.guards.watchdog import Watchdog

came = []
signal.signal(signal.SIGUSR2, lambda number, _: came.append(number))
watchdog = Watchdog({timeout_seconds}, "rank 3/8 on node1")
if {to_file}:
    watchdog.write_to(Path(sys.argv[1]) / "stacks" / "rank00000.txt")

def lingering():
    time.sleep(60)

def hanging():
    time.sleep(60)

threading.Thread(target=lingering, daemon=True).start()
watchdog.beat()
{action}
watchdog.close()
"""


def run(
    tmp_path: Path, action: str, *, status: int, timeout_seconds: float = 60, to_file: bool = True
) -> tuple[str | None, str]:
    """What a process writes to its file of stacks, if there is one, and to standard error."""
    script = SCRIPT.format(action=action, timeout_seconds=timeout_seconds, to_file=to_file)
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == status, ended.stderr
    path = tmp_path / "stacks" / "rank00000.txt"
    return path.read_text() if path.exists() else None, ended.stderr


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("hanging()", 1),
        ("ctypes.PyDLL(None).sleep(60)  # with Python's lock held", 1),
        ("threading.Timer(0.3, os.abort).start(); hanging()", -6),
    ],
    ids=["a hang", "a hang that holds Python's lock", "an abort on another thread"],
)
def test_every_threads_stack_is_written(action: str, status: int, tmp_path: Path) -> None:
    timeout_seconds = 0.5 if status == 1 else 60
    found, _ = run(tmp_path, action, status=status, timeout_seconds=timeout_seconds)
    assert found and "in lingering" in found
    assert "in hanging" in found or "PyDLL" in action


def test_a_hang_is_one_line_on_standard_error(tmp_path: Path) -> None:
    _, told = run(tmp_path, "hanging()", status=1, timeout_seconds=0.5)
    assert told == (
        "rank 3/8 on node1: has not moved for 0.4 s, so it hangs or waits for a rank that does; after 0.5 s it ends, "
        f"and the stacks of its threads are in {tmp_path}/stacks/rank00000.txt\n"
    )


def test_before_there_is_a_file_stacks_follow_that_line(tmp_path: Path) -> None:
    found, told = run(tmp_path, "hanging()", status=1, timeout_seconds=0.5, to_file=False)
    assert found is None and "in hanging" in told
    assert told.splitlines()[0].endswith("the stacks of its threads are below")


def test_what_moves_again_after_that_line_goes_on_and_is_told_of_again(tmp_path: Path) -> None:
    slow = "for _ in range(2): time.sleep(1.8); watchdog.beat()"
    stacks, told = run(tmp_path, slow, status=0, timeout_seconds=2)
    assert stacks == "" and told.count("has not moved for 1.6 s") == 2


def test_a_process_that_moves_goes_on_and_leaves_nothing(tmp_path: Path) -> None:
    moving = "for _ in range(8): time.sleep(0.1); watchdog.beat()"
    assert run(tmp_path, moving, status=0, timeout_seconds=0.5) == ("", "")


def test_sigusr2_writes_stacks_goes_on_and_reaches_the_handler_before(tmp_path: Path) -> None:
    twice = "for _ in range(2): os.kill(os.getpid(), signal.SIGUSR2)"
    found, _ = run(tmp_path, f"{twice}\nassert came == [signal.SIGUSR2] * 2", status=0)
    assert found and found.count("in lingering") == 2
