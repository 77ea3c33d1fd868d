"""Work in processes: results, failures, and what becomes of those that still run."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ShardError, StorageError
from surgstream.shards.workers import ProgressCallback, run_all, share_cores


def double(task: int, progress: ProgressCallback) -> int:
    progress(task)
    return 2 * task


def fail(task: Path, progress: ProgressCallback) -> None:
    if task.name == "full":
        raise StorageError("no space left")
    time.sleep(1)
    task.write_bytes(b"went on")


def die(task: int, progress: ProgressCallback) -> None:
    os._exit(9)


def test_every_task_gives_its_result(capfd: pytest.CaptureFixture[str]) -> None:
    done = dict(run_all(double, range(1, 8), range(1, 8), workers=2, label="double"))
    assert done == {n: 2 * n for n in range(1, 8)}
    assert "double: 100%" in capfd.readouterr().err


def half_fail(task: int, progress: ProgressCallback) -> None:
    progress(task * 1800, failed=task % 2)


def test_hours_and_failures_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    tasks, frames = [1, 2, 3], [1800, 3600, 5400]
    assert (
        len(list(run_all(half_fail, tasks, frames, workers=1, label="pack", frames_an_hour=3600)))
        == 3
    )
    last = capfd.readouterr().err.splitlines()[-1]
    assert "pack: 100%" in last and "3.00/3.00 h" in last and "h/s, 2 failed" in last


def test_nothing_to_do_starts_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(run_all(double, [], [], workers=2, label="double")) == []
    assert capfd.readouterr().err == ""


def test_the_first_failure_stops_the_others(tmp_path: Path) -> None:
    tasks = [tmp_path / "full", tmp_path / "a", tmp_path / "b"]
    with pytest.raises(StorageError, match="no space left"):
        list(run_all(fail, tasks, [3, 2, 1], workers=2, label="fail"))
    assert not multiprocessing.active_children()
    time.sleep(1.2)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_one_sentence() -> None:
    with pytest.raises(
        ShardError, match="die: a worker process was killed, perhaps because memory ran out"
    ):
        list(run_all(die, [1, 2], [1, 1], workers=2, label="die"))


def own_cores(task: int, progress: ProgressCallback) -> set[int]:
    time.sleep(0.5)
    return os.sched_getaffinity(0)


def test_pinned_processes_have_cores_of_their_own() -> None:
    ours = os.sched_getaffinity(0)
    places = [
        place for _, place in run_all(own_cores, [1, 2], [1, 1], workers=2, label="", pinned=True)
    ]
    assert set().union(*places) == ours and (len(ours) == 1 or not places[0] & places[1])
    assert os.sched_getaffinity(0) == ours, "this process itself stays free"


@given(st.integers(1, 300), st.integers(1, 300))
def test_cores_are_shared_evenly(num_cores: int, workers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            os, "sched_getaffinity", lambda _: {3 * core + 1 for core in range(num_cores)}
        )
        places = share_cores(workers)
    assert len(places) == workers and set().union(*places) == {
        3 * core + 1 for core in range(num_cores)
    }
    if workers <= num_cores:
        assert sum(map(len, places)) == num_cores
        assert {len(place) for place in places} <= {num_cores // workers, -(-num_cores // workers)}
    else:
        assert all(len(place) == 1 for place in places)
