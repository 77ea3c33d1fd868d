"""The node-local cache: shared by processes, bounded, indifferent to kills and damage."""

import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import OrderConfig
from surgstream.shards.reading import cache as cache_module
from surgstream.shards.reading.cache import LEDGER_NAME, ChunkCache
from surgstream.shards.reading.locations import RowRange
from surgstream.shards.reading.stream import ClipStream
from tests.helpers.cached import (
    CORPUS,
    PLENTY,
    chunk_files,
    collect,
    content,
    get_stuck_writing,
    in_use,
    keep_many,
    made_up,
    read_as_rank,
    start,
    stream,
)
from tests.helpers.handmade import Layout, write_corpus
from tests.helpers.ranks import finish, kill, wait_for

LONG: Layout = {"long": [{"v": [(0, 2000)]}]}


def test_clips_are_the_same_and_the_second_pass_reads_nothing_from_the_store(
    corpus: Path, folder: Path
) -> None:
    expected = collect(corpus, None)
    assert collect(corpus, folder) == expected
    with stream(corpus, None, stop=12) as first_step:
        content(first_step)
    with stream(corpus, folder) as again:
        assert content(again) == expected
    assert again.counters.bytes_read == first_step.counters.bytes_read, "single clips alone"
    assert again.counters.cache_hits > 50 and again.counters.cache_misses == 0
    assert again.counters.cache_bytes > in_use(folder) > 0


@pytest.mark.slow
def test_ranks_that_read_the_same_chunks_at_once_keep_each_once(corpus: Path, folder: Path) -> None:
    expected = collect(corpus, None, micro_batches="mixed")
    ranks = [start(read_as_rank, corpus, folder, rank, expected) for rank in range(2)]
    assert finish(ranks) == [0, 0]
    together, alone = in_use(folder), folder.with_name("alone")
    collect(corpus, alone)
    assert together == in_use(alone)


def test_single_clips_are_not_kept(corpus: Path, folder: Path) -> None:
    collect(corpus, folder, stop=12)
    assert chunk_files(folder) == []


@pytest.mark.slow
def test_a_quarter_of_the_chunks_hits_a_quarter_of_the_time(tmp_path: Path) -> None:
    """However the epochs are shuffled: what fills the cache first stays."""
    write_corpus(tmp_path, LONG)
    batch = {
        "lanes": OrderConfig(open_chunks=8, chunk_frames=25),
        "global_batch_size": 8,
        "micro_batch_size": 8,
    }

    def epochs(folder: Path, most_bytes: int, start: int, stop: int) -> ClipStream:
        with stream(
            tmp_path, folder, most_bytes, start=2000 * start, stop=2000 * stop, **batch
        ) as clips:
            content(clips)
        return clips

    epochs(tmp_path / "whole", PLENTY, 0, 1)
    quarter = in_use(tmp_path / "whole") // 4
    epochs(tmp_path / "part", quarter, 0, 1)
    counters = epochs(tmp_path / "part", quarter, 1, 5).counters
    assert counters.cache_hits / (counters.cache_hits + counters.cache_misses) == pytest.approx(
        0.25, abs=0.03
    )


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
def test_a_damaged_file_is_read_from_the_store_and_replaced(
    corpus: Path, folder: Path, kind: str
) -> None:
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
    spans = [
        file.name.rpartition(".")[2].split("-")
        for file in chunk_files(folder)
        if "cataract-000000." in file.name
    ]
    assert spans and not any(int(first) <= 20 < int(stop) for first, stop in spans)


@pytest.mark.slow
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


@pytest.mark.slow
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
        f"cache {folder}: another process has locked it for 0 s; "
        "training continues with what is cached; nothing new is cached"
    ]
    assert list(folder.glob("*/*.partial")), "it is another process's"
