"""The node-local cache: shared by processes, bounded, indifferent to kills, damage, full disks and other people."""

import contextlib
import errno
import fcntl
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigError
from shards import cache as cache_module
from shards.cache import LEDGER_NAME, ChunkCache
from shards.clips import BadClipLimits
from shards.index import ROW
from shards.order import Order, OrderConfig
from shards.storage import open_storage
from shards.stream import ClipStream, ReadConfig
from shards.table import FrameTable, RowRange
from tests.helpers.handmade import Layout, write_corpus
from tests.helpers.ranks import finish, kill, wait_for

PLENTY = 10**8
CORPUS = "c" * 64
LONG: Layout = {"long": [{"v": [(0, 2000)]}]}
STEPS = 40


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "corpus")
    return tmp_path / "corpus"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def stream(
    corpus: Path,
    folder: Path | None,
    most_bytes: int = PLENTY,
    lanes: OrderConfig = OrderConfig(lanes=6, chunk_frames=7),  # noqa: B008 - frozen
    **changes: Any,
) -> ClipStream:
    table = FrameTable.open(open_storage(str(corpus)))
    settings = {
        "num_frames": 4,
        "stride": 3,
        "global_batch_size": 12,
        "micro_batch_size": 3,
        "rank": 0,
        "world_size": 1,
        "start": 0,
        "stop": 12 * STEPS,
        "read": ReadConfig(prefetch_steps=2),
        "limits": BadClipLimits(in_all=1000, in_a_row=1000),
        "cache": folder and ChunkCache(folder, most_bytes, table.sha256),
    }
    order = Order.create(table.sizes(), 5, lanes)
    return ClipStream(table, order, **(settings | changes))  # type: ignore[arg-type]


def content(clips: ClipStream) -> dict[int, tuple[Any, ...]]:
    """All clips of a stream, by draw."""
    return {
        clip.g: (clip.dataset, clip.video, clip.anchor_frame, clip.planned, [f.tobytes() for f in clip.frames])
        for batch in clips
        for clip in batch
    }


def collect(corpus: Path, folder: Path | None, most_bytes: int = PLENTY, **changes: Any) -> dict[int, tuple[Any, ...]]:
    with stream(corpus, folder, most_bytes, **changes) as clips:
        return content(clips)


def chunk_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if not path.name.endswith(".partial"))


def in_use(folder: Path) -> int:
    """What the ledger says, which must be what lies there, whole."""
    assert not list(folder.glob("*/*.partial"))
    used = int((folder / LEDGER_NAME).read_text())
    assert used == sum(path.stat().st_size for path in folder.glob("*/*"))
    return used


def made_up(number: int, num_bytes: int = 20_000) -> tuple[RowRange, Any, Any]:
    """A chunk of no corpus."""
    rows = RowRange("made/made-000000.tar", 10**9, 4 * number, 4 * number + 4)
    return rows, np.zeros(4, ROW), np.full(num_bytes, number % 256, np.uint8)


def start(action: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=action, args=arguments, daemon=True)
    process.start()
    return process


# Actions of other processes.


def read_as_rank(corpus: Path, folder: Path, rank: int, expected: dict[int, tuple[Any, ...]]) -> None:
    for _ in range(2):
        part = collect(corpus, folder, rank=rank, world_size=2, deal="spread")
        assert len(part) == len(expected) / 2 and part.items() <= expected.items()


def keep_many(folder: Path, most_bytes: int, first: int, count: int) -> None:
    cache = ChunkCache(folder, most_bytes, CORPUS)
    for number in range(first, first + count):
        cache.keep(*made_up(number))


class Unwritable:
    """The bytes of a chunk, and what happens in the middle of writing them."""

    nbytes = 20_000

    def __init__(self, happens: Callable[[], Any]) -> None:
        self._happens = happens

    @property
    def data(self) -> bytes:
        self._happens()
        raise OSError(errno.ENOSPC, "No space left on device")


def get_stuck_writing(folder: Path) -> None:
    rows, index, _ = made_up(0)
    stuck: Any = Unwritable(lambda: time.sleep(60))
    ChunkCache(folder, PLENTY, CORPUS).keep(rows, index, stuck)


# What the stream sees.


def test_clips_are_the_same_and_the_second_pass_reads_nothing_from_the_store(corpus: Path, folder: Path) -> None:
    expected = collect(corpus, None)
    assert collect(corpus, folder) == expected
    with stream(corpus, None, stop=12) as first_step:
        content(first_step)
    with stream(corpus, folder) as again:
        assert content(again) == expected
    assert again.counters.bytes_read == first_step.counters.bytes_read, "single clips alone"
    assert again.counters.cache_hits > 50 and again.counters.cache_misses == 0
    assert again.counters.cache_bytes > in_use(folder) > 0


def test_ranks_that_read_the_same_chunks_at_once_keep_each_once(corpus: Path, folder: Path) -> None:
    expected = collect(corpus, None, deal="spread")
    ranks = [start(read_as_rank, corpus, folder, rank, expected) for rank in range(2)]
    assert finish(ranks) == [0, 0]
    together, alone = in_use(folder), folder.with_name("alone")
    collect(corpus, alone)
    assert together == in_use(alone)


def test_single_clips_are_not_kept(corpus: Path, folder: Path) -> None:
    collect(corpus, folder, stop=12)
    assert chunk_files(folder) == []


def test_a_quarter_of_the_chunks_hits_a_quarter_of_the_time(tmp_path: Path) -> None:
    """However the epochs are shuffled: what fills the cache first stays."""
    write_corpus(tmp_path, LONG)
    batch = {"lanes": OrderConfig(lanes=8, chunk_frames=25), "global_batch_size": 8, "micro_batch_size": 8}

    def epochs(folder: Path, most_bytes: int, start: int, stop: int) -> ClipStream:
        with stream(tmp_path, folder, most_bytes, start=2000 * start, stop=2000 * stop, **batch) as clips:
            content(clips)
        return clips

    epochs(tmp_path / "whole", PLENTY, 0, 1)
    quarter = in_use(tmp_path / "whole") // 4
    epochs(tmp_path / "part", quarter, 0, 1)
    counters = epochs(tmp_path / "part", quarter, 1, 5).counters
    assert counters.cache_hits / (counters.cache_hits + counters.cache_misses) == pytest.approx(0.25, abs=0.03)


# Damage.

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit of a frame": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "a bit of an index row": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
    "cut in the frames": lambda data: data[:-100],
    "cut in the index": lambda data: data[:21],
    "empty": lambda data: b"",
    "all zeros": lambda data: bytes(len(data)),
    "zeros in place of the index": lambda data: bytes(8 * ROW.itemsize),
    "too long": lambda data: data + bytes(10**6),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_read_from_the_store_and_replaced(corpus: Path, folder: Path, kind: str) -> None:
    expected = collect(corpus, folder)
    before = {path: path.read_bytes() for path in chunk_files(folder)}
    for path, data in before.items():
        path.write_bytes(DAMAGE[kind](data))
    with stream(corpus, folder) as clips:
        assert content(clips) == expected
    assert clips.counters.cache_damaged == len(before) and not clips.bad_clips
    assert clips.counters.read_again == 0, "the store is well"
    assert {path: path.read_bytes() for path in chunk_files(folder)} == before
    in_use(folder)


def test_a_file_that_grew_takes_no_more_memory_than_its_shard(folder: Path) -> None:
    cache = ChunkCache(folder, PLENTY, CORPUS)
    rows = RowRange("made/made-000000.tar", 50_000, 0, 4)
    cache.keep(rows, *made_up(0)[1:])
    os.truncate(chunk_files(folder)[0], 2**36)
    held: list[Any] = []
    cache.read(rows, held.append)
    assert [buffer.nbytes for buffer in held] == [50_000]


def test_what_is_damaged_in_the_store_is_not_kept(corpus: Path, folder: Path) -> None:
    path = corpus / "cataract/cataract-000000.tar"
    tar = bytearray(path.read_bytes())
    row = np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)[20]
    tar[int(row["offset"])] ^= 1
    path.write_bytes(tar)
    expected = collect(corpus, None)
    assert collect(corpus, folder) == collect(corpus, folder) == expected
    assert any(planned for _, _, _, planned, _ in expected.values())
    spans = [file.name.rpartition(".")[2].split("-") for file in chunk_files(folder) if "cataract-000000." in file.name]
    assert spans and not any(int(first) <= 20 < int(stop) for first, stop in spans)


# The bound, and kills.


def test_the_bound_holds_for_all_processes_together(folder: Path) -> None:
    most = 600_000
    writers = [start(keep_many, folder, most, first, 40) for first in (0, 20, 40)]
    most_seen = 0
    while any(writer.is_alive() for writer in writers):
        with contextlib.suppress(FileNotFoundError):  # renamed as we look
            most_seen = max(most_seen, sum(path.stat().st_size for path in folder.glob("*/*")))
    assert finish(writers) == [0, 0, 0]
    assert most_seen <= most
    size = 20_000 + 4 * ROW.itemsize
    assert in_use(folder) == most // size * size


def test_a_killed_writer_costs_nothing_after_the_next_opening(folder: Path) -> None:
    keep_many(folder, PLENTY, 1, 1)
    before = in_use(folder)
    writer = start(get_stuck_writing, folder)
    wait_for(lambda: any(folder.glob("*/*.partial")))
    other = ChunkCache(folder, PLENTY, CORPUS)
    other.keep(*made_up(0))
    assert len(list(folder.glob("*/*.partial"))) == 1, "its writer lives"
    assert int((folder / LEDGER_NAME).read_text()) == 2 * before, "and its bytes count, once"
    other.keep(*made_up(2))
    assert len(chunk_files(folder)) == 2, "nobody gave up"
    other.drop(made_up(2)[0])
    assert kill([writer]) == [-signal.SIGKILL]
    cache = ChunkCache(folder, PLENTY, CORPUS)
    assert in_use(folder) == before
    cache.keep(*made_up(0))
    assert in_use(folder) == 2 * before


def test_writers_killed_at_any_moment_leave_a_cache_that_works(folder: Path) -> None:
    size = 20_000 + 4 * ROW.itemsize
    for turn in range(4):
        writer = start(keep_many, folder, PLENTY, 1000 * turn, 1000)
        wait_for(lambda turn=turn: len(chunk_files(folder)) > 30 * turn)  # type: ignore[misc]
        assert kill([writer]) == [-signal.SIGKILL]
        cache = ChunkCache(folder, PLENTY, CORPUS)
        kept = chunk_files(folder)
        assert in_use(folder) == size * len(kept)
        for path in kept[-5:]:
            rows, _, data = made_up(int(path.name.partition(".")[2].partition("-")[0]) // 4)
            found = cache.read(rows, lambda _: None)
            assert found and np.array_equal(found[1], data)


def test_a_lock_that_is_never_released_ends_the_keeping(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Slurm may suspend a job at any moment."""
    monkeypatch.setattr(cache_module, "_LOCK_SECONDS", 0.05)
    cache = ChunkCache(folder, PLENTY, CORPUS)
    (folder / CORPUS / "made-000000.0-4.partial").touch()
    with (folder / LEDGER_NAME).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number in range(3):
            cache.keep(*made_up(number))
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"cache {folder}: another process has locked it for 0 s; the run goes on, reads what is cached, and keeps no "
        "more of what it reads"
    ]
    assert list(folder.glob("*/*.partial")), "it is another process's"


# Disks that are full or fail.


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
    corpus: Path, folder: Path, caplog: pytest.LogCaptureFixture, limits: Callable[[Path, Path], Any]
) -> None:
    expected = collect(corpus, None)
    with limits(corpus, folder), stream(corpus, folder) as rank, stream(corpus, folder) as other:
        assert content(rank) == content(other) == expected
        assert not list(folder.glob("*/*.partial"))
        kept = len(chunk_files(folder))
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and str(folder) in warnings[0] and "keeps no more" in warnings[0]
    assert kept > 0 and other.counters.cache_hits > 0, "what is there is still read"


def test_ranks_that_fail_at_the_same_time_warn_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rank, other = (ChunkCache(folder, PLENTY, CORPUS) for _ in range(2))
    rows, index, _ = made_up(0)
    fails: Any = Unwritable(lambda: None)
    fails_later: Any = Unwritable(lambda: other.keep(made_up(1)[0], index, fails))
    rank.keep(rows, index, fails_later)
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert not chunk_files(folder) and not list(folder.glob("*/*.partial"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOLCK])
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


# Other people, other runs.


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
def test_a_folder_that_is_not_ours_alone_is_refused(folder: Path, make: Callable[[Path], None], got: str) -> None:
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


def test_files_of_others_stay_as_they_are_and_nothing_is_written_elsewhere(corpus: Path, folder: Path) -> None:
    keep_many(folder, PLENTY, 0, 3)
    (folder / "notes").mkdir()
    for name in ("notes/made-000000.0-4.partial", "notes.txt", f"{CORPUS}/mine.partial"):
        (folder / name).write_text("mine")
    ledger = folder / LEDGER_NAME
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file() and path != ledger}
    collect(corpus, folder, 120_000)  # room for three of another corpus and a few of this one
    assert {path: path.read_bytes() for path in before} == before
    new = {path for path in folder.parent.rglob("*") if path.is_file()} - before.keys() - {ledger}
    assert {path.parent for path in new} == {folder / FrameTable.open(open_storage(str(corpus))).sha256}


@pytest.mark.parametrize("name", ["../../../evil-000000.tar", "/etc/evil-000000.tar", "..", "a/../../evil.tar"])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    ChunkCache(folder, PLENTY, CORPUS).keep(RowRange(name, 10**9, 0, 4), *made_up(0)[1:])
    assert [path.parent for path in folder.parent.rglob("*.0-4")] == [folder / CORPUS]


def test_threads_of_a_process_exclude_each_other(folder: Path) -> None:
    size = 20_000 + 4 * ROW.itemsize
    cache = ChunkCache(folder, 10 * size, CORPUS)
    threads = [threading.Thread(target=lambda: [cache.keep(*made_up(n)) for n in range(30)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_use(folder) == 10 * size
