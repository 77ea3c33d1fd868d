"""The end of a run waits for its mirror, tells what is missing there, and comes to an end."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surgstream.shards.errors import StorageError
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.mirror import ending
from surgstream.trainer.mirror.ending import wait_until_mirrored
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.runs.files import REQUEUE, read_mark, write_mark
from tests.helpers.checkpoints import write_checkpoint
from tests.trainer.mirror.stores import WatchedStorage

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_POLL_SECONDS", 0.01)


@contextmanager
def away(folder: Path, **settings: Any) -> Iterator[Mirror]:
    """A mirror that cannot take the checkpoint that it was given."""

    def fail(_: str) -> None:
        raise StorageError("the store is away")

    place = MirrorPlace(WatchedStorage(folder / "mirror", fail))
    mirror = Mirror(place, CheckpointConfig(), **settings)
    mirror.publish(write_checkpoint(folder, 10), None)
    try:
        yield mirror
    finally:
        mirror.close()


class Run:
    """What the wait uses of a run that was asked to stop after so many of its polls."""

    def __init__(self, run_dir: Path, polls: int = 10**9) -> None:
        self.run_dir, self.rank_info, self.step = run_dir, RankInfo(), 10
        self.num_polls = 0
        self.guards = SimpleNamespace(
            watchdog=SimpleNamespace(beat=self._beat),
            agreement=SimpleNamespace(
                stopping=lambda: self.num_polls >= polls, cause=(signal.Signals(15).name, 0)
            ),
        )

    def _beat(self) -> None:
        self.num_polls += 1


def wait(mirror: Mirror | None, run: Any) -> str | None:
    return wait_until_mirrored(mirror, run)


def test_what_is_there_ends_the_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    storage = WatchedStorage(tmp_path / "mirror")
    mirror = Mirror(MirrorPlace(storage), CheckpointConfig())
    mirror.publish(write_checkpoint(tmp_path, 10), None)
    run = Run(tmp_path)
    assert wait(mirror, run) is None
    mirror.close()
    assert mirror.place.names() == ["step_00000010"]
    assert read_mark(tmp_path, REQUEUE) is None


def test_a_run_that_is_done_and_not_mirrored_says_so(tmp_path: Path) -> None:
    with away(tmp_path, patience_seconds=0.2, retry_seconds=0.01) as mirror:
        run = Run(tmp_path)
        assert wait(mirror, run) == (
            f"the run is done and saved in {tmp_path}, but step_00000010 is not in {tmp_path}/mirror: "
            "the store is away; the same command tries again"
        )
    assert run.num_polls >= 1, "the ranks show that they move"
    assert read_mark(tmp_path, REQUEUE) is None


def test_a_run_that_is_told_to_stop_while_it_waits_is_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with away(tmp_path, retry_seconds=0.01, hurry_seconds=0.1) as mirror:
        assert wait(mirror, Run(tmp_path, polls=2)) is None
    assert "the store is away; the next start of this run uploads it" in caplog.text
    assert "SIGTERM on rank 0" in (read_mark(tmp_path, REQUEUE) or "")


def test_a_mark_that_is_there_stays(tmp_path: Path) -> None:
    write_mark(tmp_path, REQUEUE, "stopped before")
    with away(tmp_path, retry_seconds=0.01, hurry_seconds=0.0) as mirror:
        assert wait(mirror, Run(tmp_path, polls=0)) is None
    assert read_mark(tmp_path, REQUEUE) == "stopped before"
