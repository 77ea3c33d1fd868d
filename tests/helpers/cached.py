"""Streams with a cache, what lies in it, and what other processes do to it."""

import errno
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.cache import LEDGER_NAME, ChunkCache
from surgstream.shards.reading.clips import BadClipLimits
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import RowRange
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.stores import open_storage
from tests.helpers.streams import clip_stream

PLENTY = 10**8
CORPUS = "c" * 64
STEPS = 40


def stream(
    corpus: Path,
    folder: Path | None,
    most_bytes: int = PLENTY,
    lanes: OrderConfig = OrderConfig(open_chunks=6, chunk_frames=7),  # noqa: B008 - frozen
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
    return clip_stream(table, order, **(settings | changes))  # type: ignore[arg-type]


def content(clips: ClipStream) -> dict[int, tuple[Any, ...]]:
    """All clips of a stream, by draw."""
    return {
        clip.draw: (
            clip.dataset,
            clip.video,
            clip.anchor_frame,
            clip.planned,
            [f.tobytes() for f in clip.frames],
        )
        for batch in clips
        for clip in batch
    }


def collect(
    corpus: Path, folder: Path | None, most_bytes: int = PLENTY, **changes: Any
) -> dict[int, tuple[Any, ...]]:
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
    process = multiprocessing.get_context("spawn").Process(
        target=action, args=arguments, daemon=True
    )
    process.start()
    return process


def read_as_rank(
    corpus: Path, folder: Path, rank: int, expected: dict[int, tuple[Any, ...]]
) -> None:
    for _ in range(2):
        part = collect(corpus, folder, rank=rank, world_size=2, micro_batches="mixed")
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
