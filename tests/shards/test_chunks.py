import threading
import zlib

import numpy as np
import pytest

from shards.chunks import ChunkReader, ReadCounters
from shards.errors import CorruptSampleError, StorageError
from shards.index import ROW
from shards.storage import open_storage
from shards.table import FrameTable
from tests.helpers.handmade import jpeg, write_corpus

SHARD = "cataract/cataract-000001"


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path)
    return tmp_path


def reader(corpus, range_bytes=10**6, counters=None):
    table = FrameTable.open(open_storage(str(corpus)), check=False)
    return ChunkReader(
        table, look_back=6, range_bytes=range_bytes, counters=counters or ReadCounters(), stop=threading.Event()
    )


def frames(chunk, numbers):
    return [chunk.frame(number).tobytes() for number in numbers]


def alter_row(corpus, row, **fields):
    path = corpus / f"{SHARD}.idx"
    rows = np.frombuffer(path.read_bytes(), ROW).copy()
    for name, value in fields.items():
        rows[name][row] = value
    path.write_bytes(rows.tobytes())


@pytest.mark.parametrize("range_bytes", [1, 700, 10**6])
def test_a_chunk_holds_its_clips_and_their_look_back(corpus, range_bytes):
    chunk = reader(corpus, range_bytes=range_bytes).read("cataract", 20, 10)
    assert frames(chunk, range(14, 30)) == [jpeg("cataract", "v0", frame) for frame in range(14, 30)]


def test_look_back_ends_with_the_part(corpus):
    chunk = reader(corpus).read("cataract", 47, 2)  # frames 11 and 12 of v1, whose second part begins at 9
    assert frames(chunk, range(45, 49)) == [jpeg("cataract", "v1", frame) for frame in (9, 10, 11, 12)]
    assert chunk.runs[0].first_frame == 45


def test_a_chunk_may_cross_shards_and_parts(corpus):
    chunk = reader(corpus).read("cataract", 30, 63)
    expected = [("v0", f) for f in range(24, 40)] + [("v1", f) for f in (*range(5), *range(9, 39))] + [("v2", 3)]
    expected += [("v3", f) for f in range(17)]
    assert frames(chunk, range(24, 93)) == [jpeg("cataract", video, frame) for video, frame in expected]
    assert len(chunk.runs) == 3


def test_frames_are_views_into_one_buffer(corpus):
    chunk = reader(corpus).read("cataract", 20, 5)
    assert all(np.shares_memory(chunk.frame(number), chunk.runs[0].data) for number in range(14, 25))


def test_reading_is_counted(corpus):
    counters = ReadCounters()
    chunk = reader(corpus, range_bytes=500, counters=counters).read("cataract", 38, 4)  # two shards
    sizes = [run.data.size for run in chunk.runs]
    assert counters.chunks_read == 1
    assert counters.bytes_read == 10 * ROW.itemsize + sum(sizes)
    assert counters.requests == 2 + sum(-(-size // 500) for size in sizes)


@pytest.mark.parametrize("row", [0, 7, 35])
def test_a_flipped_bit_is_named(corpus, row):
    rows = np.frombuffer((corpus / f"{SHARD}.idx").read_bytes(), ROW)
    tar = bytearray((corpus / f"{SHARD}.tar").read_bytes())
    start, size, expected = rows[row].tolist()
    tar[start + size // 2] ^= 1
    (corpus / f"{SHARD}.tar").write_bytes(tar)
    video, frame = {0: ("v1", 0), 7: ("v1", 11), 35: ("v2", 3)}[row]
    found = zlib.crc32(tar[start : start + size])
    message = rf"{SHARD}\.tar: video {video}, frame {frame}: expected CRC-32 {expected:08x}, got {found:08x}; run"
    with pytest.raises(CorruptSampleError, match=message):
        reader(corpus).read("cataract", 38, 50)
    reader(corpus).read("cataract", 0, 40)  # the other shards are well


@pytest.mark.parametrize(
    ("row", "damage"),
    [
        (0, {"offset": 2**63}),
        (5, {"offset": 0}),
        (5, {"size": 2**32 - 1}),
        (9, {"offset": 10**9}),
    ],
)
def test_a_damaged_index_reads_nothing(corpus, row, damage):
    alter_row(corpus, row, **damage)
    counters = ReadCounters()
    with pytest.raises(CorruptSampleError, match=rf"{SHARD}\.idx: rows 0 to 10: expected frames in order within"):
        reader(corpus, counters=counters).read("cataract", 40, 10)
    assert counters.bytes_read == 10 * ROW.itemsize


def test_a_truncated_index_or_shard_is_named(corpus):
    index = corpus / f"{SHARD}.idx"
    index.write_bytes(index.read_bytes()[: 5 * ROW.itemsize])
    with pytest.raises(StorageError, match=rf"{SHARD}\.idx: expected bytes 0 to 160"):
        reader(corpus).read("cataract", 40, 10)
    (corpus / "knee/knee-000000.tar").unlink()
    with pytest.raises(StorageError, match=r"knee/knee-000000\.tar is missing"):
        reader(corpus).read("knee", 0, 3)
