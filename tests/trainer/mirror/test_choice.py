"""A run resumes from the newest whole checkpoint of its directory and its mirror, every byte of which was compared."""

import logging
import shutil
import threading
import tracemalloc
from pathlib import Path

import pytest

from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.errors import CheckpointError, SaveError
from surgstream.trainer.mirror import fetching
from surgstream.trainer.mirror.choice import find_checkpoint
from surgstream.trainer.mirror.fetching import fetch
from surgstream.trainer.mirror.place import MirrorPlace
from tests.helpers.checkpoints import contents, write_checkpoint
from tests.trainer.mirror.stores import WatchedStorage

pytestmark = pytest.mark.usefixtures("alone")

FIRST = "rank00000-000.safetensors"


def mirrored(storage: Storage, root: Path, *steps: int, **entries: object) -> MirrorPlace:
    """A mirror of checkpoints that `root` has as well."""
    place = MirrorPlace(storage)
    for step in steps:
        place.upload(write_checkpoint(root, step, **entries), threading.Event())
    return place


def test_a_lost_directory_is_fetched(storage: Storage, tmp_path: Path) -> None:
    place = mirrored(storage, tmp_path / "lost", 10, 20)
    root = tmp_path / "run" / "checkpoints"
    found = find_checkpoint(root, "auto", place)
    assert found == root / "step_00000020"
    assert contents(found) == contents(tmp_path / "lost" / found.name)
    assert [path.name for path in root.iterdir()] == [found.name], "nothing else is left or fetched"


def test_large_files_are_fetched_in_pieces(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PIECE_BYTES", 1000)
    files = [bytes(range(256)) * 40, b"", b"x" * 3000]
    saved = write_checkpoint(tmp_path / "lost", 10, *files)
    place = MirrorPlace(storage)
    place.upload(saved, threading.Event())
    found = find_checkpoint(tmp_path / "run", "auto", place)
    assert found and contents(found) == contents(saved)


def test_an_older_directory_is_brought_up_to_date(storage: Storage, tmp_path: Path) -> None:
    root = tmp_path / "run"
    place = mirrored(storage, root, 10, 20)
    shutil.rmtree(root / "step_00000020")
    assert find_checkpoint(root, "auto", place) == root / "step_00000020"


def test_what_the_directory_has_is_not_read_from_the_mirror(tmp_path: Path) -> None:
    root = tmp_path / "run"
    storage = WatchedStorage(tmp_path / "mirror")
    place = mirrored(storage, root, 10, 20)
    write_checkpoint(root, 30)
    storage.read_names.clear()
    for newest in ("step_00000030", "step_00000020"):
        assert find_checkpoint(root, "auto", place) == root / newest
        shutil.rmtree(root / newest)
    assert not storage.read_names


def test_a_damaged_checkpoint_is_fetched_anew(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "run"
    place = mirrored(storage, root, 10, 20)
    expected = contents(root / "step_00000020")
    (root / "step_00000020" / FIRST).write_bytes(b"short")
    found = find_checkpoint(root, "auto", place)
    assert found == root / "step_00000020" and contents(found) == expected
    assert f"skipped checkpoint {found}: {FIRST} has 5 bytes" in caplog.text


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (FIRST, b"short", f"{FIRST} has 5 bytes, expected 2000 bytes"),
        (FIRST, b"x" * 2000, f"{FIRST} is not what was written (sha256)"),
        (FIRST, None, f"{FIRST} is missing, expected 2000 bytes"),
        ("state.json", b"{}", "state.json is malformed"),
    ],
)
def test_what_is_damaged_in_the_mirror_is_passed_over(
    name: str,
    data: bytes | None,
    why: str,
    storage: Storage,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = mirrored(storage, tmp_path / "lost", 10, 20)
    storage.delete(f"step_00000020/{name}")
    if data is not None:
        storage.write(f"step_00000020/{name}", data)
    root = tmp_path / "run"
    assert find_checkpoint(root, "auto", place) == root / "step_00000010"
    assert f"skipped checkpoint step_00000020 of {storage.uri}: {why}" in caplog.text
    assert [path.name for path in root.iterdir()] == ["step_00000010"]
    # The run comes by there again, and its upload must not take the damaged one for its own.
    assert place.damaged == {"step_00000020"}


def test_nothing_whole_in_either_is_an_error_that_names_both(tmp_path: Path) -> None:
    root = tmp_path / "run"
    storage = open_storage(str(tmp_path / "mirror"))
    place = mirrored(storage, root, 10)
    storage.write(f"step_00000010/{FIRST}", b"")
    (root / "step_00000010" / FIRST).unlink()
    with pytest.raises(CheckpointError, match=f"{root} and {storage.uri}: none of 1 checkpoints"):
        find_checkpoint(root, "auto", place)


def test_a_new_run_has_nothing_to_resume(storage: Storage, tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "run", "auto", MirrorPlace(storage)) is None
    assert find_checkpoint(tmp_path / "run", "none", MirrorPlace(storage)) is None


def test_the_mirror_counts_where_a_checkpoint_is_named(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "mirror"))
    place = mirrored(storage, tmp_path / "other", 10, 20)
    root = tmp_path / "run"
    with pytest.raises(
        CheckpointError, match=f"^{storage.uri}: holds checkpoints, and resume is none"
    ):
        find_checkpoint(root, "none", place)
    older, newest = (tmp_path / "other" / name for name in ("step_00000010", "step_00000020"))
    with pytest.raises(CheckpointError, match=f"^{storage.uri}: holds checkpoints newer than"):
        find_checkpoint(root, str(older), place)
    assert find_checkpoint(root, str(newest), place) == newest


def test_the_best_weights_are_fetched_as_well(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = [[10, 0.5], [20, 0.9], [30, 0.7]]
    place = mirrored(storage, tmp_path / "lost", 10, 20, 30, scores=scores)
    root = tmp_path / "run"
    with caplog.at_level(logging.INFO):
        assert find_checkpoint(root, "auto", place) == root / "step_00000030"
    assert sorted(path.name for path in root.iterdir()) == ["step_00000020", "step_00000030"]
    assert f"fetched step_00000020 from {storage.uri}" in caplog.text


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    place = mirrored(open_storage(str(tmp_path / "mirror")), tmp_path / "lost", 10)
    root = tmp_path / "run"
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(SaveError, match=r"could not be fetched from .*: No space left on device"):
        find_checkpoint(root, "auto", place)
    assert not list(root.iterdir())


def test_a_fetch_takes_as_much_memory_however_large_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PIECE_BYTES", 1 << 18)
    storage = open_storage(str(tmp_path / "mirror"))
    place = MirrorPlace(storage)
    place.upload(write_checkpoint(tmp_path / "lost", 10, bytes(32 << 20)), threading.Event())
    tracemalloc.start()
    fetch(place, "step_00000010", tmp_path / "run")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
