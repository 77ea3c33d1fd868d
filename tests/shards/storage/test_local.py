"""Folders of file systems that fail for a while, are written to by others, or are full."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from surgstream.shards.corpus.labels import read_labels
from surgstream.shards.errors import StorageError, UnusableFileError, VideoError
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.stores import (
    LocalStorage,
    S3Config,
    Stores,
    open_storage,
    read_range,
)
from tests.helpers.file_systems import FailingCalls

FAST = RetryConfig(timeout_seconds=1.0, first_delay_seconds=0.01, max_delay_seconds=0.05)
CONTENT = random.Random(5).randbytes(300_000)
READS: dict[str, Callable[[LocalStorage], object]] = {
    "read": lambda storage: storage.read("in/a"),
    "read_into": lambda storage: read_range(storage, "in/a", 7, 200_000),
    "size": lambda storage: storage.size("in/a"),
    "version": lambda storage: storage.version("in/a"),
    "sizes": lambda storage: storage.sizes(),
    "tree": lambda storage: dict(storage.tree().items()).keys(),
}


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    found = LocalStorage(tmp_path, "here", FAST)
    found.write("in/a", CONTENT)
    return found


@pytest.fixture
def calls(storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FailingCalls:
    return FailingCalls(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    "name", ["EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ESHUTDOWN", "EHOSTDOWN", "EAGAIN"]
)
@pytest.mark.parametrize("read", READS)
def test_what_passes_is_waited_for_and_counted(
    storage: LocalStorage, calls: FailingCalls, read: str, name: str
) -> None:
    whole = READS[read](storage)
    calls.plan(getattr(errno, name), getattr(errno, name))
    assert READS[read](storage) == whole
    assert storage.retries == {name: 2}


@pytest.mark.parametrize("name", ["EACCES", "ELOOP", "ENAMETOOLONG", "EMFILE", "ENOENT"])
@pytest.mark.parametrize("read", ["read", "read_into", "size"])
def test_what_waiting_does_not_cure_is_told_at_once(
    storage: LocalStorage, calls: FailingCalls, read: str, name: str
) -> None:
    calls.always(getattr(errno, name))
    if (read, name) == ("size", "ENOENT"):
        assert storage.size("in/a") is None
    else:
        with pytest.raises(StorageError, match=r"here: .*in/a"):
            READS[read](storage)
    assert len(calls.asked) == 1 and not storage.retries


def test_a_read_goes_on_at_its_last_good_byte_in_a_file_opened_anew(
    storage: LocalStorage, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv, offsets = os.preadv, list[int]()

    def short(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        offsets.append(offset)
        if len(offsets) == 2:
            fail(errno.ESTALE)
        return preadv(descriptor, [buffers[0][:100_000]], offset)

    monkeypatch.setattr(os, "preadv", short)
    assert read_range(storage, "in/a", 5, 300_000) == CONTENT[5:]
    assert offsets == [5, 100_005, 100_005, 200_005]
    assert calls.asked.count("open") == 2


def fail(number: int) -> int:
    raise OSError(number, os.strerror(number))


def test_what_fails_for_too_long_ends_with_the_history(
    storage: LocalStorage, calls: FailingCalls
) -> None:
    calls.always(errno.ESTALE, errno.EIO)
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        read_range(storage, "in/a", 5, 15)
    assert time.monotonic() - started >= FAST.timeout_seconds
    message = str(caught.value)
    assert message.startswith("here: reading bytes 5 to 15 of in/a: nothing came for 1 s; ")
    assert "s ESTALE (Stale file handle); " in message and "s EIO (Input/output error)" in message
    assert "failed tries" in message and len(message) < 4000


def test_whoever_stops_does_not_wait(storage: LocalStorage, calls: FailingCalls) -> None:
    calls.always(errno.EIO)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StorageError, match="cancelled: the reader is closing"):
        storage.read_into("in/a", 0, memoryview(bytearray(9)), stop)


def test_folders_are_as_patient_as_buckets(tmp_path: Path) -> None:
    for uri in (str(tmp_path), f"file://{tmp_path}"):
        assert open_storage(uri, S3Config(retry=FAST))._retry == FAST  # type: ignore[attr-defined]


def test_a_file_system_that_fails_is_not_a_videos_fault(
    storage: LocalStorage, calls: FailingCalls, tmp_path: Path
) -> None:
    storage.write("v.csv", b"second,phase\n0,cut\n")
    stores = Stores({str(tmp_path): storage})
    calls.plan(errno.EIO, None, errno.ESTALE)
    assert read_labels({"phase": str(tmp_path / "v.csv")}, stores).rows == {"phase": [(0.0, "cut")]}
    calls.always(errno.EIO)
    with pytest.raises(StorageError, match="nothing came for"):
        read_labels({"phase": str(tmp_path / "v.csv")}, stores)
    calls.plan()
    for name, reason in (("in", "Is a directory"), ("w.csv", "it is missing")):
        with pytest.raises(VideoError, match=f"labels: .*{name}: expected a CSV file.*{reason}"):
            read_labels({"phase": str(tmp_path / name)}, stores)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_write_that_fails_shows_nothing(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Not even where what was begun cannot be removed: it stays hidden until it is swept."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: fail(number))
        patch.setattr(os, "unlink", lambda *_, **__: fail(errno.ESTALE))
        with pytest.raises(StorageError, match=f"writing in/a: {os.strerror(number)}"):
            storage.write("in/a", b"half")
    assert storage.sizes() == {"in/a": len(CONTENT)} and storage.read("in/a") == CONTENT
    assert len(list((tmp_path / "in").iterdir())) == 2
    storage.sweep(lambda name: name == "in/a")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a"]


def written_in_place(path: Path) -> None:
    path.write_bytes(CONTENT[::-1])


def cut_short(path: Path) -> None:
    os.truncate(path, 299_999)


def renamed_over(path: Path) -> None:
    path.with_name("new").write_bytes(CONTENT[::-1])
    path.with_name("new").replace(path)


def repacked(path: Path) -> None:
    LocalStorage(path.parent, "elsewhere").write(path.name, CONTENT + b"more")


@pytest.mark.parametrize("change", [written_in_place, cut_short, renamed_over, repacked])
def test_a_file_that_is_replaced_under_its_readers_is_noticed(
    storage: LocalStorage, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    read_range(storage, "in/a", 1000, 2000)
    change(tmp_path / "in" / "a")
    for _ in range(2):
        with pytest.raises(
            StorageError,
            match=r"here: in/a was replaced while the run read it .* another corpus now",
        ):
            read_range(storage, "in/a", 0, 10)
    assert not storage.retries, "to ask again would not help"


def touched(path: Path) -> None:
    os.utime(path)


def made_readable(path: Path) -> None:
    path.chmod(0o444)


def put_back(path: Path) -> None:
    """As `surgstream stage` mends a shard: the same bytes in another inode, of another time."""
    path.unlink()
    renamed_over(path)
    path.write_bytes(CONTENT)


@pytest.mark.parametrize("change", [touched, made_readable, put_back])
def test_a_file_that_holds_the_same_is_the_same(
    storage: LocalStorage, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    read_range(storage, "in/a", 1000, 2000)
    for _ in range(2):
        change(tmp_path / "in" / "a")
        assert read_range(storage, "in/a", 5, 300_000) == CONTENT[5:]
    written_in_place(tmp_path / "in" / "a")
    with pytest.raises(StorageError, match="was replaced"):
        read_range(storage, "in/a", 0, 10)


def test_access_that_is_denied_is_one_files_fault(
    storage: LocalStorage, calls: FailingCalls
) -> None:
    calls.plan(errno.EACCES)
    with pytest.raises(UnusableFileError, match="reading in/a: Permission denied"):
        storage.read("in/a")
