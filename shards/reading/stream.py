"""The stream: this rank's clips in the planned order, as bytes, read ahead by threads."""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from surgstream.shards.errors import ManifestError
from surgstream.shards.order.sequence import Draws, Order, RankShare
from surgstream.shards.reading.chunks import Chunk
from surgstream.shards.reading.clips import ClipBytes, ClipShape
from surgstream.shards.reading.feed import ClipFeed, Reading
from surgstream.shards.reading.locations import ClipTable, Location
from surgstream.shards.reading.memory import check_buffer


@dataclass(frozen=True)
class _Step:
    """A planned step. Locations and chunks are those of this rank's draws, by position in the step."""

    draws: Draws
    micro_batches: list[list[int]]
    locations: dict[int, Location]
    chunks: dict[int, Future[Chunk]]


_BLOCK_DRAWS = 8192
"""Draws to evaluate at once: in blocks of two thousand each costs nearly twice as much."""

_Held = dict[tuple[int, int], tuple[int, Future[Chunk]]]
"""The current chunk of each lane that this rank reads, (dataset, lane): its first clip, and its bytes to come."""


class ClipStream(ClipFeed):
    """This rank's micro-batches of the first step, of the next, and so on.

    Every rank evaluates the draws of all ranks, so it knows when a lane leaves a chunk and lets go of it.
    """

    def __init__(
        self,
        table: ClipTable,
        order: Order,
        *,
        shape: ClipShape,
        rank_share: RankShare,
        reading: Reading,
        start: int,
        stop: int | None,
    ) -> None:
        """Check that everything fits together; reading starts with the iteration.

        Args:
            table: The corpus.
            order: Which clip is drawn when.
            shape: Frames of a clip, at the rate of the table.
            rank_share: Which draws of a step are this rank's.
            reading: How to read.
            start: First draw of the first step.
            stop: Draw to stop before, whole steps after `start`; None never stops.

        Raises:
            ConfigError: The memory for chunks is too small for the order.
            ManifestError: The order was made for another corpus.
            ValueError: `stop` does not end a step.
        """
        step = rank_share.global_batch_size
        if stop is not None and (stop < start or (stop - start) % step):
            raise ValueError(f"stop: expected {start} plus whole steps of {step}, got {stop}")
        _check_same_corpus(table, order)
        buffer_bytes = reading.read.buffer_bytes
        check_buffer(
            table,
            order,
            shape.look_back,
            buffer_bytes=buffer_bytes,
            world_size=rank_share.world_size,
        )

        super().__init__(table, order, shape=shape, reading=reading)
        self._order = order
        self._rank_share = rank_share
        self._start = start  # the clips of its step are read alone, see `_plan`
        self._stop = stop
        self._prefetch_steps = reading.read.prefetch_steps
        self._buffer_bytes = buffer_bytes
        self._plan_ahead = reading.read.plan_ahead
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="plan-steps")

    def __iter__(self) -> Iterator[list[ClipBytes]]:
        held: _Held = {}
        steps = (self._plan(draws, held) for draws in self._steps())

        planned: deque[_Step] = deque()
        for step in self._one_ahead(steps) if self._plan_ahead else steps:
            planned.append(step)
            while len(planned) > self._prefetch_steps or (planned and self._is_full()):
                yield from self._clips(planned.popleft())

        while planned:
            yield from self._clips(planned.popleft())

    def close(self) -> None:
        """Drop what is planned and end the threads. May be called twice."""
        super().close()
        self._planner.shutdown(wait=True, cancel_futures=True)

    def _one_ahead(self, steps: Iterator[_Step]) -> Iterator[_Step]:
        """The same steps, the next of which is planned on a thread while the consumer has one."""
        coming = self._planner.submit(next, steps, None)
        while step := coming.result():
            coming = self._planner.submit(next, steps, None)
            yield step

    def _is_full(self) -> bool:
        return self.counters.buffer_bytes + self.counters.asked_bytes > self._buffer_bytes

    def _steps(self) -> Iterator[Draws]:
        """The draws of each step."""
        step = self._rank_share.global_batch_size
        block = step * max(1, _BLOCK_DRAWS // step)
        for g in itertools.count(self._start, block):
            count = block if self._stop is None else min(block, self._stop - g)
            if count <= 0:
                return
            yield from self._order.draws(g, count).split(step)

    def _plan(self, draws: Draws, held: _Held) -> _Step:
        """Ask for the chunks of a step, and let go of those that the order has left.

        A chunk lives on in the steps that are planned and still need it.
        """
        micro_batches = self._rank_share.assign(draws)
        ours = np.zeros(draws.number.size, bool)
        ours[micro_batches] = True

        chunks = self._ask(draws, ours.tolist(), held)
        self.counters.open_chunks = len(held)

        names = [self._names[dataset] for dataset in draws.dataset[ours].tolist()]
        locations = self._table.locate_all(names, draws.clip[ours].tolist())
        by_position = dict(zip(np.flatnonzero(ours).tolist(), locations, strict=True))
        return _Step(draws, micro_batches.tolist(), by_position, chunks)

    def _ask(self, draws: Draws, ours: list[bool], held: _Held) -> dict[int, Future[Chunk]]:
        """The chunks of this rank's draws in a step, by position in the step.

        The clips of the first step are read alone: the trainer is waiting for them, and whole chunks for every lane
        would take many times longer.
        """
        is_first = draws.number[0] == self._start
        chunks: dict[int, Future[Chunk]] = {}
        columns = (draws.dataset, draws.lane, draws.chunk_first, draws.chunk_clips, draws.clip)
        rows = zip(*(column.tolist() for column in columns), ours, strict=True)

        for i, (dataset, lane, first, size, clip, is_ours) in enumerate(rows):
            # A lane has one chunk at a time, whichever rank reads it.
            if (dataset, lane) in held and held[dataset, lane][0] != first:
                del held[dataset, lane]
            if not is_ours:
                continue

            if is_first:
                chunks[i] = self._read(dataset, clip, 1)
                continue
            if (dataset, lane) not in held:
                held[dataset, lane] = first, self._read(dataset, first, size)
            chunks[i] = held[dataset, lane][1]
        return chunks

    def _clips(self, step: _Step) -> Iterator[list[ClipBytes]]:
        """The micro-batches of a planned step; chunks are let go of as they are used."""
        draws = step.draws
        for members in step.micro_batches:
            clips = []
            for i in members:
                g = int(draws.number[i])
                dataset = int(draws.dataset[i])
                chunk = self._wait_for(step.chunks.pop(i))
                clips.append(self._cutter.clip(g, dataset, step.locations[i], chunk))
            yield clips


def _check_same_corpus(table: ClipTable, order: Order) -> None:
    corpus = set(table.sizes())
    for plan in order.revisions[-1].datasets:
        if plan.count and plan.size not in corpus:
            raise ManifestError(
                f"{table.storage.uri}: expected dataset {plan.size.name} of "
                f"{plan.size.num_clips} clips of {plan.size.specialty}, for which the order was "
                "made; read the corpus that the run started with"
            )
