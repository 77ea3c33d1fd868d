"""The stream: this rank's clips in the planned order, as bytes, read ahead by threads."""

import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import ManifestError
from surgstream.shards.order.sequence import Deal, Draws, Order, check_batch, place
from surgstream.shards.reading.activity import Activities
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.chunks import Chunk, ChunkReader, ReadCounters
from surgstream.shards.reading.clips import BadClipLimits, ClipBytes, ClipCutter
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable, Location


@dataclass(frozen=True)
class _Step:
    """A planned step: its draws, and of ours, by position in the step, where they lie and the chunks to hold them."""

    draws: Draws
    micro_batches: list[list[int]]
    locations: dict[int, Location]
    chunks: dict[int, Future[Chunk]]


_BLOCK_DRAWS = 2048
"""Draws to evaluate at once: what a hundred cost alone is nearly what two thousand cost."""

_Held = dict[tuple[int, int], tuple[int, Future[Chunk]]]
"""The chunk that each lane we read, (dataset, lane), is in: its first clip, and its bytes to come."""


class ClipFeed(ABC):
    """Iterates over one rank's micro-batches, whose chunks threads read ahead.

    Close it, or use it as a context manager, to end its threads; an iterator that another thread waits on then raises.

    Attributes:
        counters: What reading has cost so far.
        activities: What the reading threads are doing.
        bad_clips: Clips that could not be used, since somebody last emptied the list.
    """

    def __init__(
        self,
        table: FrameTable,
        order: Order,
        *,
        num_frames: int,
        stride: int,
        read: ReadConfig,
        limits: BadClipLimits,
        cache: ChunkCache | None,
    ) -> None:
        """Start no thread yet.

        Args:
            table: The corpus.
            order: Names the datasets, and what stands in for a bad clip.
            num_frames: Frames of a clip, T.
            stride: Frames from one frame of a clip to the next, at the rate of the table.
            read: How to read.
            limits: How many clips may be damaged.
            cache: Where to keep chunks on this node; it must be this corpus's.
        """
        self.counters = ReadCounters()
        self.activities = Activities()
        self._table = table
        self._names = order.dataset_names
        self._look_back = (num_frames - 1) * stride
        self._closing = threading.Event()  # ends reads that wait for a failing store
        self._reader = ChunkReader(
            table,
            look_back=self._look_back,
            range_bytes=read.range_bytes,
            counters=self.counters,
            activities=self.activities,
            stop=self._closing,
            cache=cache,
        )
        self._cutter = ClipCutter(table, order, self._reader, num_frames, stride, limits)
        self.bad_clips = self._cutter.bad_clips  # the same list, to be emptied in place
        self._pool = ThreadPoolExecutor(read.threads, thread_name_prefix="read-chunks")

    @abstractmethod
    def __iter__(self) -> Iterator[list[ClipBytes]]:
        """Iterate from the start on.

        Yields:
            A micro-batch: its clips in order.

        Raises:
            CorruptSampleError: Too many clips hold frames that are not what was packed.
            StorageError: A shard cannot be read.
        """

    @property
    def retries(self) -> Counter[str]:
        """How often reads failed and were tried again, by cause."""
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
        expected = int((num_clips + self._look_back) * self._table.mean_clip_bytes(name))
        self.counters.add(asked_bytes=expected)
        chunk = self._pool.submit(self._reader.read, name, first_clip, num_clips)
        chunk.add_done_callback(lambda _: self.counters.add(asked_bytes=-expected))
        return chunk

    def _wait_for(self, chunk: Future[Chunk]) -> Chunk:
        started = time.perf_counter()
        read = chunk.result()
        self.counters.wait_seconds += time.perf_counter() - started
        return read


class ClipStream(ClipFeed):
    """This rank's micro-batches of the first step, of the next, and so on.

    Every rank evaluates the draws of all ranks, so it knows when a lane leaves a chunk and lets go of it.
    """

    def __init__(
        self,
        table: FrameTable,
        order: Order,
        *,
        num_frames: int,
        stride: int,
        global_batch_size: int,
        micro_batch_size: int,
        rank: int,
        world_size: int,
        start: int,
        stop: int | None,
        read: ReadConfig,
        deal: Deal = "runs",
        limits: BadClipLimits = BadClipLimits(),  # noqa: B008 - frozen
        cache: ChunkCache | None = None,
    ) -> None:
        """Check that everything fits together; reading starts with the iteration.

        Args:
            table: The corpus.
            order: Which clip is drawn when.
            num_frames: Frames of a clip, T.
            stride: Frames from one frame of a clip to the next, at the rate of the table.
            global_batch_size: Draws of a step, over all ranks.
            micro_batch_size: Clips of a micro-batch.
            rank: This rank.
            world_size: All ranks.
            start: First draw of the first step.
            stop: Draw to stop before, whole steps after `start`; None never stops.
            read: How to read.
            deal: How a step's clips are dealt to micro-batches.
            limits: How many clips may be damaged.
            cache: Where to keep chunks on this node; it must be this corpus's.

        Raises:
            ConfigError: The global batch cannot be dealt to the ranks.
            ManifestError: The order was made for another corpus.
            ValueError: `stop` does not end a step.
        """
        check_batch(global_batch_size, micro_batch_size, world_size)
        if stop is not None and (stop < start or (stop - start) % global_batch_size):
            raise ValueError(
                f"stop: expected {start} plus whole steps of {global_batch_size}, got {stop}"
            )
        _check_same_corpus(table, order)
        _check_buffer(table, order, (num_frames - 1) * stride, read.buffer_bytes, world_size)
        super().__init__(
            table,
            order,
            num_frames=num_frames,
            stride=stride,
            read=read,
            limits=limits,
            cache=cache,
        )
        self._order = order
        self._global_batch_size = global_batch_size
        self._micro_batch_size = micro_batch_size
        self._rank = rank
        self._world_size = world_size
        self._deal = deal
        self._start = start  # the clips of its step are read alone, see `_plan`
        self._stop = stop
        self._prefetch_steps, self._buffer_bytes = read.prefetch_steps, read.buffer_bytes

    def __iter__(self) -> Iterator[list[ClipBytes]]:
        planned: deque[_Step] = deque()
        held: _Held = {}
        for draws in self._steps():
            planned.append(self._plan(draws, held))
            while len(planned) > self._prefetch_steps or (planned and self._is_full()):
                yield from self._clips(planned.popleft())
        while planned:
            yield from self._clips(planned.popleft())

    def _is_full(self) -> bool:
        return self.counters.buffer_bytes + self.counters.asked_bytes > self._buffer_bytes

    def _steps(self) -> Iterator[Draws]:
        """The draws of each step."""
        step = self._global_batch_size
        block = step * max(1, _BLOCK_DRAWS // step)
        for g in itertools.count(self._start, block):
            count = block if self._stop is None else min(block, self._stop - g)
            if count <= 0:
                return
            yield from self._order.draws(g, count).split(step)

    def _plan(self, draws: Draws, held: _Held) -> _Step:
        """Ask for the chunks of a step, and let go of those that the order has left.

        A chunk lives on in the steps that are planned and still need it. The clips of the first step are read alone:
        the trainer is waiting for them, and whole chunks for every lane would take many times longer.
        """
        is_first = draws.g[0] == self._start
        placement = place(
            draws,
            micro_batch_size=self._micro_batch_size,
            world_size=self._world_size,
            deal=self._deal,
        )
        members = placement.members[self._rank]
        ours = np.zeros(draws.g.size, bool)
        ours[members] = True
        chunks = {}  # by position in the step, of our draws alone
        visits = (draws.dataset, draws.lane, draws.chunk_first, draws.chunk_clips, draws.clip, ours)
        for i, (dataset, lane, first, size, clip, is_ours) in enumerate(
            zip(*(v.tolist() for v in visits), strict=True)
        ):
            if (dataset, lane) in held and held[dataset, lane][0] != first:
                del held[dataset, lane]  # a lane has one chunk at a time, whoever reads it
            if is_ours and is_first:
                chunks[i] = self._read(dataset, clip, 1)
            elif is_ours:
                if (dataset, lane) not in held:
                    held[dataset, lane] = first, self._read(dataset, first, size)
                chunks[i] = held[dataset, lane][1]
        self.counters.open_chunks = len(held)
        names = [self._names[dataset] for dataset in draws.dataset[ours].tolist()]
        locations = self._table.locate_all(names, draws.clip[ours].tolist())
        return _Step(
            draws,
            members.tolist(),
            dict(zip(np.flatnonzero(ours).tolist(), locations, strict=True)),
            chunks,
        )

    def _clips(self, step: _Step) -> Iterator[list[ClipBytes]]:
        """The micro-batches of a planned step; chunks are let go of as they are used."""
        draws = step.draws
        for members in step.micro_batches:
            clips = []
            for i in members:
                chunk = self._wait_for(step.chunks.pop(i))
                clips.append(
                    self._cutter.clip(
                        int(draws.g[i]), int(draws.dataset[i]), step.locations[i], chunk
                    )
                )
            yield clips


def _check_buffer(
    table: FrameTable, order: Order, look_back: int, buffer_bytes: int, world_size: int
) -> None:
    """The order decides how many chunks are open; memory must hold this rank's share of them."""
    needed = 0.0
    for report in order.report():
        needed += (
            report.lanes * (report.chunk_clips + look_back) * table.mean_clip_bytes(report.name)
        )
    needed /= world_size
    if needed > buffer_bytes:
        raise ConfigError(
            f"read.buffer_bytes: the order keeps {order.num_lanes} chunks open, about {needed / 1e6:.1f} MB on each "
            f"of {world_size} ranks; expected at least that, got {buffer_bytes / 1e6:.1f} MB; raise it, or train on "
            "more ranks, or start the run with fewer or smaller chunks (order.lanes, order.chunk_frames)"
        )


def _check_same_corpus(table: FrameTable, order: Order) -> None:
    corpus = set(table.sizes())
    for plan in order.segments[-1].datasets:
        if plan.count and plan.size not in corpus:
            raise ManifestError(
                f"{table.storage.uri}: expected dataset {plan.size.name} of {plan.size.num_clips} clips of "
                f"{plan.size.specialty}, for which the order was made; read the corpus that the run started with"
            )
