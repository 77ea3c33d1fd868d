"""What has a state in a mirror is whole, whenever an upload or a deletion was broken off."""

import threading
import tracemalloc
from pathlib import Path

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import NotWholeError, prune
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.mirror.place import MirrorPlace, StoppedError
from surgstream.trainer.runs.files import checkpoint_name, checkpoints_in
from tests.helpers.checkpoints import contents, stored, write_checkpoint
from tests.trainer.mirror.stores import WatchedStorage

GO_ON = threading.Event()
NAMES = [checkpoint_name(step) for step in (0, 10, 20, 30)]


def test_an_upload_is_the_same_files(storage: Storage, tmp_path: Path) -> None:
    place = MirrorPlace(storage)
    assert place.names() == []
    saved = write_checkpoint(tmp_path, 10)
    assert place.upload(saved, GO_ON) == sum(map(len, contents(saved).values()))
    assert stored(storage, saved.name) == contents(saved)
    assert place.names() == [saved.name]


def test_the_state_is_written_last_and_deleted_first(tmp_path: Path) -> None:
    storage = WatchedStorage(tmp_path / "mirror")
    place = MirrorPlace(storage)
    for step in (10, 20):
        place.upload(write_checkpoint(tmp_path, step), GO_ON)
    place.prune(CheckpointConfig(keep_last=1), 20)

    def of(name: str, *changes: str) -> list[str]:
        return [change.replace(" ", f" {name}/") for change in changes]

    first, second = "rank00000-000.safetensors", "rank00000-001.safetensors"
    upload = ("delete state.json", f"write {first}", f"write {second}", "write state.json")
    deletion = ("delete state.json", f"delete {first}", f"delete {second}")
    assert storage.changes == [
        *of(NAMES[1], *upload),
        *of(NAMES[2], *upload),
        *of(NAMES[1], *deletion),
    ]
    assert not (tmp_path / "mirror" / NAMES[1]).exists(), "no empty folder is left"


def test_wherever_it_is_broken_off_only_whole_ones_are_there(tmp_path: Path) -> None:
    """Step 20 is uploaded in another state than it is there, 30 anew, and 10 is deleted; each change fails once."""
    first = [write_checkpoint(tmp_path / "first", step) for step in (10, 20)]
    second = [
        write_checkpoint(tmp_path / "second", step, b"new", b"%d" % step) for step in (20, 30)
    ]
    possible = [contents(checkpoint) for checkpoint in (*first, *second)]

    num_changes = 0
    for last_change in range(100):
        storage = WatchedStorage(tmp_path / f"mirror{last_change}")
        place = MirrorPlace(storage)
        for checkpoint in first:
            place.upload(checkpoint, GO_ON)
        storage.changes.clear()

        def fail(_: str, storage: WatchedStorage = storage, last: int = last_change) -> None:
            if len(storage.changes) == last:
                raise StorageError("gone")

        storage.before = fail
        try:
            for checkpoint in second:
                place.upload(checkpoint, GO_ON)
            place.prune(CheckpointConfig(keep_last=2), 30)
        except StorageError:
            num_changes += 1
        else:
            break

        there = place.names()
        assert there, "an announced one stays"
        assert all(dict(stored(storage, name)) in possible for name in there)

        storage.before = lambda _: None
        place.sweep()
        assert {name.partition("/")[0] for name in storage.sizes()} == set(there)
    assert num_changes == 11


def test_bytes_that_are_not_what_was_saved_are_no_checkpoint(
    storage: Storage, tmp_path: Path
) -> None:
    place = MirrorPlace(storage)
    saved = write_checkpoint(tmp_path, 10, bytes(100), bytes(100))
    (saved / "rank00000-001.safetensors").write_bytes(bytes(99) + b"1")
    with pytest.raises(NotWholeError, match=r"rank00000-001.safetensors is not what was written"):
        place.upload(saved, GO_ON)
    assert place.names() == []
    assert set(storage.sizes()) == {f"{saved.name}/rank00000-000.safetensors"}


def test_an_upload_that_is_stopped_leaves_no_checkpoint(storage: Storage, tmp_path: Path) -> None:
    place = MirrorPlace(storage)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        place.upload(write_checkpoint(tmp_path, 10), stop)
    assert not storage.sizes()


def test_what_another_process_has_taken_over_is_not_written_to(tmp_path: Path) -> None:
    def taken_over() -> None:
        raise StorageError("taken over")

    storage = WatchedStorage(tmp_path / "mirror")
    for step in (10, 20):
        MirrorPlace(storage).upload(write_checkpoint(tmp_path, step), GO_ON)
    place = MirrorPlace(storage, taken_over)
    with pytest.raises(StorageError, match="taken over"):
        place.upload(write_checkpoint(tmp_path, 30), GO_ON)
    with pytest.raises(StorageError, match="taken over"):
        place.prune(CheckpointConfig(keep_last=1), 20)
    assert place.names() == [NAMES[2], NAMES[1]]
    assert not storage.sizes(NAMES[3])


def test_what_is_there_is_not_sent_again_unless_it_is_damaged(tmp_path: Path) -> None:
    storage = WatchedStorage(tmp_path / "mirror")
    place = MirrorPlace(storage)
    saved = write_checkpoint(tmp_path, 10)
    num_bytes = place.upload(saved, GO_ON)
    assert num_bytes > 0 and place.upload(saved, GO_ON) == 0

    storage.delete(f"{saved.name}/rank00000-001.safetensors")
    assert place.upload(saved, GO_ON) == num_bytes
    place.damaged.add(saved.name)
    assert place.upload(saved, GO_ON) == num_bytes and not place.damaged


STEPS = st.sets(st.integers(1, 40), min_size=1, max_size=12)


@given(
    steps=STEPS,
    keep_last=st.integers(1, 4),
    keep_every=st.sampled_from([0, 5, 7, 20]),
    data=st.data(),
)
def test_a_mirror_keeps_what_a_run_keeps(
    steps: set[int],
    keep_last: int,
    keep_every: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("both")
    config = CheckpointConfig(keep_last=keep_last, keep_every=keep_every)
    saved = data.draw(st.sampled_from(sorted(steps)))
    best = data.draw(st.sampled_from([None, *sorted(steps)]))
    for step in steps:
        write_checkpoint(folder / "run", step, b"")
        write_checkpoint(folder / "mirror", step, b"")

    place = MirrorPlace(open_storage(str(folder / "mirror")))
    place.prune(config, saved, {best})
    prune(folder / "run", config, folder / "run" / checkpoint_name(saved), keep={best})
    kept = [checkpoint.name for checkpoint in checkpoints_in(folder / "run")]
    assert place.names() == kept
    assert best is None or checkpoint_name(best) in kept


def test_sweeping_takes_what_killed_uploads_left_and_nothing_else(
    storage: Storage, tmp_path: Path
) -> None:
    place = MirrorPlace(storage)
    place.upload(write_checkpoint(tmp_path, 10), GO_ON)
    others = {"notes.txt", "step_00000020/notes.txt", "step_1/rank00000-000.safetensors"}
    left = {"step_00000020/rank00000-000.safetensors", "step_00000030/rank00001-012.safetensors"}
    for name in others | left:
        storage.write(name, b"x")
    whole = set(storage.sizes(NAMES[1]))
    place.sweep()
    assert set(storage.sizes()) == whole | others


def test_unfinished_uploads_of_ours_are_swept(bucket: str, tmp_path: Path) -> None:
    client = boto3.session.Session().client("s3")
    for key in (
        f"swept/{NAMES[1]}/rank00000-000.safetensors",
        "swept/other",
        f"far/{NAMES[1]}/state.json",
    ):
        client.create_multipart_upload(Bucket="mirror", Key=key)
    (tmp_path / NAMES[1]).mkdir()
    (tmp_path / NAMES[1] / f".state.json.{'0' * 32}.partial").touch()

    for uri in (f"{bucket}/swept", str(tmp_path)):
        MirrorPlace(open_storage(uri)).sweep()
    uploads = client.list_multipart_uploads(Bucket="mirror")["Uploads"]
    assert {upload["Key"] for upload in uploads} == {"swept/other", f"far/{NAMES[1]}/state.json"}
    assert not any(tmp_path.rglob("*.partial"))


def test_an_upload_takes_as_much_memory_however_large_it_is(tmp_path: Path) -> None:
    saved = write_checkpoint(tmp_path, 10, bytes(32 << 20))
    place = MirrorPlace(WatchedStorage(tmp_path / "mirror"))
    tracemalloc.start()
    place.upload(saved, GO_ON)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
