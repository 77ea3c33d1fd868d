import gc
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.errors import StorageError
from surgstream.shards.format.index import ROW
from surgstream.shards.reading.activity import Activities
from surgstream.shards.reading.buffers import new_buffer
from surgstream.shards.reading.chunks import BadFrame, Chunk, ChunkReader
from surgstream.shards.reading.counters import ReadCounters
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import LocalStorage, open_storage
from tests.helpers.handmade import jpeg, write_corpus

SHARD = "cataract/cataract-000001"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def reader(
    corpus: Path, range_bytes: int = 10**6, counters: ReadCounters | None = None
) -> ChunkReader:
    table = FrameTable.open(open_storage(str(corpus)), check=False)
    return ChunkReader(
        table,
        look_back=6,
        range_bytes=range_bytes,
        counters=counters or ReadCounters(),
        activities=Activities(),
        stop=threading.Event(),
    )


def frames(chunk: Chunk, numbers: Sequence[int]) -> list[bytes]:
    return [chunk.frame(number).tobytes() for number in numbers]


def alter_row(corpus: Path, row: int, **fields: object) -> None:
    path = corpus / f"{SHARD}.idx"
    rows = np.frombuffer(path.read_bytes(), ROW).copy()
    for name, value in fields.items():
        rows[name][row] = value
    path.write_bytes(rows.tobytes())


@pytest.mark.parametrize("range_bytes", [1, 700, 10**6])
def test_a_chunk_holds_its_clips_and_their_look_back(corpus: Path, range_bytes: int) -> None:
    chunk = reader(corpus, range_bytes=range_bytes).read("cataract", 20, 10)
    assert frames(chunk, range(14, 30)) == [
        jpeg("cataract", "v0", frame) for frame in range(14, 30)
    ]


def test_look_back_ends_with_the_part(corpus: Path) -> None:
    chunk = reader(corpus).read(
        "cataract", 47, 2
    )  # frames 11 and 12 of v1, whose second part begins at 9
    assert frames(chunk, range(45, 49)) == [
        jpeg("cataract", "v1", frame) for frame in (9, 10, 11, 12)
    ]
    assert chunk.runs[0].first_frame == 45


def test_a_chunk_may_cross_shards_and_parts(corpus: Path) -> None:
    chunk = reader(corpus).read("cataract", 30, 63)
    expected = (
        [("v0", f) for f in range(24, 40)]
        + [("v1", f) for f in (*range(5), *range(9, 39))]
        + [("v2", 3)]
    )
    expected += [("v3", f) for f in range(17)]
    assert frames(chunk, range(24, 93)) == [
        jpeg("cataract", video, frame) for video, frame in expected
    ]
    assert len(chunk.runs) == 3


def test_frames_are_views_into_one_buffer(corpus: Path) -> None:
    chunk = reader(corpus).read("cataract", 20, 5)
    assert all(
        np.shares_memory(chunk.frame(number), chunk.runs[0].data) for number in range(14, 25)
    )


def test_reading_is_counted(corpus: Path) -> None:
    counters = ReadCounters()
    chunk = reader(corpus, range_bytes=500, counters=counters).read("cataract", 38, 4)  # two shards
    sizes = [run.data.size for run in chunk.runs]
    assert counters.chunks_read == 1
    assert counters.bytes_read == 10 * ROW.itemsize + sum(sizes)
    assert counters.requests == 2 + sum(-(-size // 500) for size in sizes)


@pytest.mark.parametrize("row", [0, 7, 35])
def test_a_flipped_bit_is_named(corpus: Path, row: int) -> None:
    rows = np.frombuffer((corpus / f"{SHARD}.idx").read_bytes(), ROW)
    tar = bytearray((corpus / f"{SHARD}.tar").read_bytes())
    start, size, expected = rows[row].tolist()
    tar[start + size // 2] ^= 1
    (corpus / f"{SHARD}.tar").write_bytes(tar)
    video, frame = {0: ("v1", 0), 7: ("v1", 11), 35: ("v2", 3)}[row]
    found = zlib.crc32(tar[start : start + size])
    reason = f"expected CRC-32 {expected:08x}, got {found:08x}"
    chunk = reader(corpus).read("cataract", 38, 50)
    assert chunk.bad == {40 + row: BadFrame(f"{SHARD}.tar", video, frame, reason)}
    assert not reader(corpus).read("cataract", 0, 40).bad, "the other shards are well"


@pytest.mark.parametrize(
    ("header", "got"),
    [
        (jpeg("", "", 0, 65500, 65500)[:13], "65500x65500"),
        (jpeg("", "", 0, 48, 64)[:13], "48x64"),
        (b"GIF", "no JPEG"),
    ],
)
def test_a_frame_that_declares_another_size_is_bad_though_its_checksum_fits(
    corpus: Path, header: bytes, got: str
) -> None:
    tar = bytearray((corpus / f"{SHARD}.tar").read_bytes())
    start, size, _ = np.frombuffer((corpus / f"{SHARD}.idx").read_bytes(), ROW)[7].tolist()
    tar[start : start + len(header)] = header
    (corpus / f"{SHARD}.tar").write_bytes(tar)
    alter_row(corpus, 7, crc32=zlib.crc32(tar[start : start + size]))
    (bad,) = reader(corpus).read("cataract", 38, 50).bad.values()
    assert (bad.video, bad.frame) == ("v1", 11)
    assert f"expected a JPEG of 64x48 pixels, got {got}" in bad.reason


@pytest.mark.parametrize("kind", [".tar", ".idx"])
@pytest.mark.parametrize("times", [1, 2, 4])
def test_bits_that_flip_on_the_way_are_read_again(corpus: Path, kind: str, times: int) -> None:
    class Flaky(LocalStorage):
        """Flips a bit the first times that frames or index rows are read."""

        left = times

        def read_into(
            self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
        ) -> None:
            super().read_into(name, start, out, stop)
            if name.endswith(kind) and self.left:
                out[7] ^= 1 << self.left
                self.left -= 1

    counters = ReadCounters()
    table = FrameTable.open(Flaky(corpus, str(corpus)), check=False)
    flaky = ChunkReader(
        table,
        look_back=6,
        range_bytes=10**6,
        counters=counters,
        activities=Activities(),
        stop=threading.Event(),
    )
    chunk = flaky.read("cataract", 20, 10)
    assert frames(chunk, range(14, 30)) == [
        jpeg("cataract", "v0", frame) for frame in range(14, 30)
    ]
    assert not chunk.bad and counters.read_again == times


@pytest.mark.parametrize(
    ("row", "damage"),
    [
        (0, {"offset": 2**63}),
        (9, {"offset": 2**63 - 1}),
        (5, {"offset": 0}),
        (5, {"size": 2**32 - 1}),
        (9, {"offset": 10**9}),
    ],
)
def test_a_damaged_index_reads_nothing(corpus: Path, row: int, damage: dict[str, int]) -> None:
    alter_row(corpus, row, **damage)
    counters = ReadCounters()
    bad = reader(corpus, counters=counters).read("cataract", 40, 10).bad
    assert sorted(bad) == list(range(40, 50))
    assert f"{SHARD}.idx, rows 0 to 10" in bad[40].reason
    assert counters.bytes_read == 2 * 10 * ROW.itemsize, "its rows, twice, and no frame"


def test_a_truncated_index_or_shard_is_named(corpus: Path) -> None:
    index = corpus / f"{SHARD}.idx"
    index.write_bytes(index.read_bytes()[: 5 * ROW.itemsize])
    with pytest.raises(StorageError, match=rf"{SHARD}\.idx: expected bytes 0 to 160"):
        reader(corpus).read("cataract", 40, 10)
    (corpus / "knee/knee-000000.tar").unlink()
    with pytest.raises(StorageError, match=r"knee/knee-000000\.tar is missing"):
        reader(corpus).read("knee", 0, 3)


def test_buffers_are_counted_until_the_last_frame_is_let_go(corpus: Path) -> None:
    counters = ReadCounters()
    chunk = reader(corpus, counters=counters).read("cataract", 20, 10)
    held = sum(run.data.nbytes for run in chunk.runs)
    frame = chunk.frame(20)
    assert counters.buffer_bytes == held > 0
    del chunk
    assert counters.buffer_bytes == held, "a view keeps its chunk"
    del frame
    assert counters.buffer_bytes == 0


class Collecting(int):
    """A number that has garbage collected while it is added to a counter."""

    def __radd__(self, other: int) -> int:
        gc.collect()
        return other + int(self)


def test_garbage_that_is_collected_while_something_is_counted_is_counted_as_well() -> None:
    counters = ReadCounters()
    counters.hold(buffer := new_buffer(8))
    circle = [buffer]
    circle.append(circle)
    del buffer, circle
    counting = threading.Thread(
        target=counters.add, kwargs={"requests": Collecting(1)}, daemon=True
    )
    counting.start()
    counting.join(10)
    assert not counting.is_alive(), "it waits for itself"
    assert (counters.requests, counters.buffer_bytes) == (1, 0)
