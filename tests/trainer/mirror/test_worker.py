"""Copies are made beside training: newest first, one at a time, again after failures, and waited for at the end."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.errors import StorageError
from surgstream.trainer.engine.checkpoint_files import prune
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.runs.files import checkpoint_name
from tests.helpers.checkpoints import write_checkpoint
from tests.trainer.mirror.stores import WatchedStorage

LONG = 60.0


class Gate:
    """Holds a store's changes from when it is shut; `reached` once one is held.

    Attributes:
        fails: Whether changes fail instead of waiting.
    """

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self.fails = False
        self._open.set()

    def shut(self) -> None:
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def __call__(self, _: str) -> None:
        if self.fails:
            raise StorageError("the store is away")
        if not self._open.is_set():
            self.reached.set()
            assert self._open.wait(LONG)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def storage(tmp_path: Path, gate: Gate) -> WatchedStorage:
    return WatchedStorage(tmp_path / "mirror", gate)


@contextmanager
def mirroring(storage: WatchedStorage, **settings: Any) -> Iterator[Mirror]:
    mirror = Mirror(
        MirrorPlace(storage), CheckpointConfig(keep_last=2), **{"retry_seconds": LONG, **settings}
    )
    try:
        yield mirror
    finally:
        mirror.close()


def steps(mirror: Mirror) -> list[int]:
    return [int(name.removeprefix("step_")) for name in reversed(mirror.place.names())]


def test_each_checkpoint_is_copied_announced_and_pruned(
    storage: WatchedStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with mirroring(storage) as mirror:
        for step in (10, 20, 30):
            mirror.publish(write_checkpoint(tmp_path, step), None)
            assert mirror.wait(LONG, hurry=False) and mirror.missing() is None
            assert f"checkpoint step {step} is mirrored at {storage.uri}: 0.0 MB in" in caplog.text
        assert steps(mirror) == [20, 30]


def test_the_newest_takes_the_place_of_what_waits(
    storage: WatchedStorage, gate: Gate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mirroring(storage) as mirror:
        gate.shut()
        assert mirror.publish(write_checkpoint(tmp_path, 10), None) is None
        assert gate.reached.wait(LONG)
        # What is being copied has to stay, all that the run keeps being newer.
        assert mirror.publish(write_checkpoint(tmp_path, 20), None) == 10
        assert mirror.publish(write_checkpoint(tmp_path, 30), None) == 10
        gate.open()
        assert mirror.wait(LONG, hurry=False)
        assert steps(mirror) == [10, 30]
    left_out = [record.getMessage() for record in caplog.records if "left out" in record.message]
    assert len(left_out) == 1 and left_out[0].startswith("checkpoint step_00000020 is left out of")


def test_what_is_being_copied_is_not_pruned(
    storage: WatchedStorage, gate: Gate, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    with mirroring(storage) as mirror:
        gate.shut()
        mirror.publish(write_checkpoint(root, 10), None)
        assert gate.reached.wait(LONG)
        saved = write_checkpoint(root, 20)
        busy = mirror.publish(saved, None)
        prune(root, CheckpointConfig(keep_last=1), saved, keep=(None, busy))
        gate.open()
        assert mirror.wait(LONG, hurry=False) and steps(mirror) == [10, 20]


def test_the_best_weights_are_copied_after_the_newest_and_stay(
    storage: WatchedStorage, gate: Gate, tmp_path: Path
) -> None:
    with mirroring(storage) as mirror:
        gate.shut()
        mirror.publish(write_checkpoint(tmp_path, 10), 10)
        assert gate.reached.wait(LONG)
        mirror.publish(write_checkpoint(tmp_path, 20), 20)
        mirror.publish(write_checkpoint(tmp_path, 30), 20)
        gate.open()
        assert mirror.wait(LONG, hurry=False) and steps(mirror) == [10, 20, 30]
        for step in (40, 50):
            mirror.publish(write_checkpoint(tmp_path, step), 20)
            assert mirror.wait(LONG, hurry=False)
        assert steps(mirror) == [20, 40, 50]
    states = [name for name in storage.changes if name.startswith("write") and "state" in name]
    expected = [checkpoint_name(step) for step in (10, 30, 20, 40, 50)]
    assert states == [f"write {name}/state.json" for name in expected]


def test_a_store_that_fails_is_told_and_tried_again_with_the_next(
    storage: WatchedStorage, gate: Gate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mirroring(storage, patience_seconds=0.0) as mirror:
        gate.fails = True
        mirror.publish(write_checkpoint(tmp_path, 10), None)
        assert mirror.wait(LONG, hurry=False)
        assert mirror.missing() == f"step_00000010 is not in {storage.uri}: the store is away"
        assert "the store is away; training goes on, and it is tried again" in caplog.text
        gate.fails = False
        mirror.publish(write_checkpoint(tmp_path, 20), None)
        assert mirror.wait(LONG, hurry=False) and mirror.missing() is None
        assert steps(mirror) == [20]


def test_a_store_that_fails_is_tried_again_without_another_checkpoint(
    storage: WatchedStorage, gate: Gate, tmp_path: Path
) -> None:
    failures = 0

    def fail_thrice(_: str) -> None:
        nonlocal failures
        failures += 1
        if failures <= 3:
            raise StorageError("the store is away")

    storage.before = fail_thrice
    with mirroring(storage, retry_seconds=0.01) as mirror:
        mirror.publish(write_checkpoint(tmp_path, 10), None)
        assert mirror.wait(LONG, hurry=False)
        assert mirror.missing() is None and steps(mirror) == [10]


def test_what_failed_uploads_left_is_swept(storage: WatchedStorage, tmp_path: Path) -> None:
    def fail_once(change: str) -> None:
        if change == f"write {checkpoint_name(10)}/state.json":
            raise StorageError("the store is away")

    storage.before = fail_once
    with mirroring(storage, patience_seconds=0.0) as mirror:
        mirror.publish(write_checkpoint(tmp_path, 10), None)
        assert mirror.wait(LONG, hurry=False) and mirror.missing()
        assert storage.sizes(checkpoint_name(10))
        mirror.publish(write_checkpoint(tmp_path, 20), None)
        assert mirror.wait(LONG, hurry=False) and steps(mirror) == [20]
        assert not storage.sizes(checkpoint_name(10))


def test_old_checkpoints_that_cannot_be_deleted_are_told_alone(
    storage: WatchedStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def keep_10(change: str) -> None:
        if change == "delete step_00000010/state.json" and len(storage.changes) > 6:
            raise StorageError("deleting is not allowed")

    storage.before = keep_10
    with mirroring(storage) as mirror:
        for step in (10, 20, 30):
            mirror.publish(write_checkpoint(tmp_path, step), None)
            assert mirror.wait(LONG, hurry=False) and mirror.missing() is None
        assert steps(mirror) == [10, 20, 30]
    assert "what is not needed could not be deleted: deleting is not allowed" in caplog.text


def test_an_upload_is_waited_for_without_end_but_not_in_a_hurry(
    storage: WatchedStorage, gate: Gate, tmp_path: Path
) -> None:
    with mirroring(storage, patience_seconds=0.0, hurry_seconds=0.0) as mirror:
        gate.shut()
        mirror.publish(write_checkpoint(tmp_path, 10), None)
        assert gate.reached.wait(LONG)
        assert not mirror.wait(0.01, hurry=False)
        assert mirror.wait(LONG, hurry=True)
        assert (
            mirror.missing() == f"step_00000010 is not in {storage.uri}: the upload has not ended"
        )
        gate.open()


def test_closing_ends_an_upload_and_leaves_no_checkpoint(
    storage: WatchedStorage, gate: Gate, tmp_path: Path
) -> None:
    saved = write_checkpoint(tmp_path, 10, b"1", b"2", b"3")
    with mirroring(storage) as mirror:
        gate.shut()
        mirror.publish(saved, None)
        assert gate.reached.wait(LONG)
        threading.Timer(0.1, gate.open).start()
    assert mirror.place.names() == []
    assert not any(thread.name == "mirror" for thread in threading.enumerate())


def test_a_mirror_that_is_never_used_has_nothing_to_wait_for(storage: WatchedStorage) -> None:
    with mirroring(storage) as mirror:
        assert mirror.wait(LONG, hurry=True) and mirror.missing() is None
