"""The base of streams and passes: threads that read chunks ahead, and what they cost."""

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.activity import Activities
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.chunks import Chunk, ChunkReader
from surgstream.shards.reading.clips import BadClipLimits, ClipBytes, ClipCutter, ClipShape
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.counters import ReadCounters
from surgstream.shards.reading.locations import ClipTable


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The settings of a rank's reading, which do not change which clips it gets.

    Attributes:
        read: Threads, requests and buffers.
        limits: How many clips may be damaged.
        cache: Where to keep chunks on this node; it must be that of the corpus. None keeps none.
    """

    read: ReadConfig = field(default_factory=ReadConfig)
    limits: BadClipLimits = field(default_factory=BadClipLimits)
    cache: ChunkCache | None = None


class ClipFeed(ABC):
    """Iterates over one rank's micro-batches, whose chunks threads read ahead.

    Close it, or use it as a context manager, to end its threads; an iterator that another thread waits on then raises.

    Attributes:
        counters: What reading has cost so far.
        activities: What the reading threads are doing.
        bad_clips: Clips that could not be used since the list was last emptied.
    """

    def __init__(
        self, table: ClipTable, order: Order, *, shape: ClipShape, reading: Reading
    ) -> None:
        """Start no thread yet.

        Args:
            table: The corpus.
            order: Names the datasets, and the replacements of bad clips.
            shape: Frames of a clip, at the rate of the table.
            reading: How to read.
        """
        self.counters = ReadCounters()
        self.activities = Activities()
        self._table = table
        self._names = order.dataset_names
        self._look_back = shape.look_back
        self._closing = threading.Event()  # ends reads that wait for a failing store
        self._reader = ChunkReader(
            table,
            look_back=shape.look_back,
            range_bytes=reading.read.range_bytes,
            counters=self.counters,
            activities=self.activities,
            stop=self._closing,
            cache=reading.cache,
        )
        self._cutter = ClipCutter(table, order, self._reader, shape, reading.limits)
        self.bad_clips = self._cutter.bad_clips  # the same list, to be emptied in place
        self._pool = ThreadPoolExecutor(reading.read.threads, thread_name_prefix="read-chunks")

    @abstractmethod
    def __iter__(self) -> Iterator[list[ClipBytes]]:
        """Iterate from the start on.

        Yields:
            A micro-batch: its clips in order.

        Raises:
            CorruptSampleError: Too many clips hold frames that are not what was packed.
            StorageError: A shard cannot be read.
        """

    def substitute(self, clip: ClipBytes, position: int, reason: str) -> ClipBytes:
        """Substitute a clip that cannot be decoded, on the thread that iterates; see `ClipCutter.substitute`."""
        return self._cutter.substitute(clip, position, reason)

    @property
    def retries(self) -> Counter[str]:
        """The number of reads that failed and were tried again, by cause."""
        return self._table.storage.retries

    def close(self) -> None:
        """Drop what is planned and end the threads. May be called twice."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        """Return the feed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the feed."""
        self.close()

    def _read(self, dataset: int, first_clip: int, num_clips: int) -> Future[Chunk]:
        name = self._names[dataset]
        expected = int(self._table.chunk_bytes(name, num_clips, self._look_back))

        self.counters.add(asked_bytes=expected)
        chunk = self._pool.submit(self._reader.read, name, first_clip, num_clips)
        chunk.add_done_callback(lambda _: self.counters.add(asked_bytes=-expected))
        return chunk

    def _wait_for(self, chunk: Future[Chunk]) -> Chunk:
        started = time.perf_counter()
        read = chunk.result()
        self.counters.wait_seconds += time.perf_counter() - started
        return read
