"""Caches on disks that are full or fail, and in folders that others use as well."""

import contextlib
import errno
import fcntl
import logging
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.index import ROW
from surgstream.shards.reading.cache import LEDGER_NAME, ChunkCache
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import RowRange
from surgstream.shards.storage.stores import open_storage
from tests.helpers.cached import (
    CORPUS,
    PLENTY,
    Unwritable,
    chunk_files,
    collect,
    content,
    in_use,
    keep_many,
    made_up,
    stream,
)


@contextlib.contextmanager
def small_disk(corpus: Path, folder: Path) -> Iterator[None]:
    """A real full disk, where we may mount one."""
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k,mode=700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def small_files(corpus: Path, folder: Path) -> Iterator[None]:
    """A cache that has a few chunks, and then no file may grow past 1 kB."""
    collect(corpus, folder, stop=24)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limits", [small_disk, small_files])
def test_a_full_disk_is_one_warning_for_all_ranks(
    corpus: Path,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    limits: Callable[[Path, Path], Any],
) -> None:
    expected = collect(corpus, None)
    with limits(corpus, folder), stream(corpus, folder) as rank, stream(corpus, folder) as other:
        assert content(rank) == content(other) == expected
        assert not list(folder.glob("*/*.partial"))
        kept = len(chunk_files(folder))
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert (
        len(warnings) == 1 and str(folder) in warnings[0] and "nothing new is cached" in warnings[0]
    )
    assert kept > 0 and other.counters.cache_hits > 0, "what is there is still read"


def test_ranks_that_fail_at_the_same_time_warn_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rank, other = (ChunkCache(folder, PLENTY, CORPUS) for _ in range(2))
    rows, index, _ = made_up(0)
    fails: Any = Unwritable(lambda: None)
    fails_later: Any = Unwritable(lambda: other.keep(made_up(1)[0], index, fails))
    rank.keep(rows, index, fails_later)
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert not chunk_files(folder) and not list(folder.glob("*/*.partial"))


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOLCK]
)
@pytest.mark.parametrize("when", ["opening", "keeping"])
def test_a_disk_that_fails_is_one_warning(
    corpus: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    when: str,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    expected = collect(corpus, None)
    if when == "opening":
        monkeypatch.setattr(fcntl, "flock", fail)
    with stream(corpus, folder) as clips:
        monkeypatch.setattr(fcntl, "flock", fail)
        assert content(clips) == expected
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and os.strerror(number) in warnings[0]


def test_a_folder_removed_under_the_run_is_one_warning(
    corpus: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = collect(corpus, None)
    with stream(corpus, folder) as clips:
        for path in [*folder.iterdir()]:
            path.rmdir() if path.is_dir() else path.unlink()
        assert content(clips) == expected
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def make_writable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def make_link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def make_anothers(folder: Path) -> None:
    folder.mkdir()
    try:
        os.chown(folder, 12345, -1)
    except PermissionError:
        pytest.skip("only root may give a folder away")


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (make_writable, "got mode 770"),
        (make_link, "got a symbolic link"),
        (make_anothers, "got one of user 12345"),
        (Path.touch, "File exists"),
    ],
)
def test_a_folder_that_is_not_ours_alone_is_refused(
    folder: Path, make: Callable[[Path], None], got: str
) -> None:
    make(folder)
    with pytest.raises(ConfigError, match=rf"cache_dir: {folder}: expected a folder .*{got}"):
        ChunkCache(folder, PLENTY, CORPUS)


def test_what_is_made_is_private(corpus: Path, folder: Path) -> None:
    before = os.umask(0)
    try:
        collect(corpus, folder)
    finally:
        os.umask(before)
    assert chunk_files(folder)
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_files_of_others_stay_as_they_are_and_nothing_is_written_elsewhere(
    corpus: Path, folder: Path
) -> None:
    keep_many(folder, PLENTY, 0, 3)
    (folder / "notes").mkdir()
    for name in ("notes/made-000000.0-4.partial", "notes.txt", f"{CORPUS}/mine.partial"):
        (folder / name).write_text("mine")
    ledger = folder / LEDGER_NAME
    before = {
        path: path.read_bytes()
        for path in folder.parent.rglob("*")
        if path.is_file() and path != ledger
    }
    collect(corpus, folder, 120_000)  # room for three of another corpus and a few of this one
    assert {path: path.read_bytes() for path in before} == before
    new = {path for path in folder.parent.rglob("*") if path.is_file()} - before.keys() - {ledger}
    assert {path.parent for path in new} == {
        folder / FrameTable.open(open_storage(str(corpus))).sha256
    }


@pytest.mark.parametrize(
    "name", ["../../../evil-000000.tar", "/etc/evil-000000.tar", "..", "a/../../evil.tar"]
)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    ChunkCache(folder, PLENTY, CORPUS).keep(RowRange(name, 10**9, 0, 4), *made_up(0)[1:])
    assert [path.parent for path in folder.parent.rglob("*.0-4")] == [folder / CORPUS]


def test_threads_of_a_process_exclude_each_other(folder: Path) -> None:
    size = 20_000 + 4 * ROW.itemsize
    cache = ChunkCache(folder, 10 * size, CORPUS)
    threads = [
        threading.Thread(target=lambda: [cache.keep(*made_up(n)) for n in range(30)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_use(folder) == 10 * size
