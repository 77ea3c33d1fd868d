"""The traffic and memory of many ranks, counted from the order and the placement alone, as `ClipStream` plans them."""

import time
from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import Int64
from surgstream.shards.order.draws import Draws
from surgstream.shards.order.sequence import Order, place
from surgstream.shards.reading.config import ReadConfig

FRAME_BYTES = 20_000
"""A JPEG of 455 x 256 pixels of real laparoscopy."""

RANGE_BYTES = 8 * 2**20
RANKS_PER_NODE = 8
WINDOW = 20_480
"""Clips over which openings of chunks are summed: ten steps of the published batch."""

_CLIP_BITS = 31
_BLOCKS_PER_EPOCH = 50


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """One number of ranks.

    Attributes:
        ranks: Ranks.
        clips_per_rank: Clips of a step on each.
        global_batch_size: Clips of a step.
        kb_per_clip: 10^3 bytes read for a clip, tar headers left out.
        node_kb_per_clip: The same if the 8 ranks of a node shared what one of them read.
        gets_per_clip: Range requests for a clip, that of the index included.
        readers: Ranks that read a chunk, on average.
        peak: Most chunks opened within `window` clips, over their mean.
        window: Clips over which openings are summed for `peak`.
        open_mb: Mean size, over ranks and steps, of what a rank holds for later steps, 10^6 bytes.
        most_open_mb: The most that any rank held.
        ahead_mb: The mean size of what a rank reads ahead, for the 32 steps of its prefetch, in memory as well.
        step_ms: CPU time of one rank for order and placement of one step, in 10^-3 s, on this machine.
    """

    ranks: int
    clips_per_rank: int
    global_batch_size: int
    kb_per_clip: float
    node_kb_per_clip: float
    gets_per_clip: float
    readers: float
    peak: float
    window: int
    open_mb: float
    most_open_mb: float
    ahead_mb: float
    step_ms: float


class Held:
    """The chunks that readers hold, each until its lane goes on to another."""

    def __init__(self, order: Order, num_readers: int) -> None:
        """Begin with readers that hold nothing.

        Args:
            order: The order.
            num_readers: Readers.
        """
        self._num_readers = num_readers
        self._lanes = order.revisions[-1].lanes + 1  # and that of the leftovers
        self._now = np.full(len(order.dataset_names) * self._lanes, -1)
        self._keys = self._frames = np.empty(0, np.int64)

    def visit(self, draws: Draws, reader: Int64, look_back: int) -> Int64:
        """Read what draws need and their reader does not hold, then let go of chunks whose lane has left them.

        Args:
            draws: Some steps, within which no lane comes back to a chunk that it has left.
            reader: The reader of each draw, (num_draws,).
            look_back: Frames before a chunk that are read with it.

        Returns:
            The first draw of each chunk that was read, (num_read,).
        """
        lane = draws.dataset * self._lanes + draws.lane + 1
        # Lane, first clip and reader in one number.
        keys = (lane << _CLIP_BITS | draws.chunk_first) * self._num_readers + reader
        needed, first = np.unique(keys, return_index=True)
        is_new = ~np.isin(needed, self._keys, assume_unique=True)
        opened = first[is_new]

        held = np.concatenate([self._keys, needed[is_new]])
        frames = np.concatenate([self._frames, draws.chunk_clips[opened] + look_back])
        # The last one of a lane's draws counts
        self._now[lane] = draws.chunk_first

        its_lane, its_chunk = np.divmod(held // self._num_readers, 1 << _CLIP_BITS)
        stays = self._now[its_lane] == its_chunk
        self._keys = held[stays]
        self._frames = frames[stays]
        return np.asarray(opened, np.int64)

    def frames(self) -> Int64:
        """Frames that each reader holds, (num_readers,)."""
        frames = np.zeros(self._num_readers, np.int64)
        np.add.at(frames, self._keys % self._num_readers, self._frames)
        return frames


def simulate(
    order: Order,
    *,
    ranks: int,
    clips_per_rank: int,
    micro_batch_size: int,
    look_back: int,
    warm_up: int,
    count: int,
    start: int = 0,
    window: int = WINDOW,
) -> Traffic:
    """Count what ranks read and hold once they have been reading for a while.

    Args:
        order: The order.
        ranks: Ranks.
        clips_per_rank: Clips of a step on each, a multiple of `micro_batch_size`.
        micro_batch_size: Clips of a micro-batch.
        look_back: Frames before its anchor that a clip may show.
        warm_up: Draws to begin with, long enough for every lane to open a chunk.
        count: Draws that are counted, rounded up to whole windows.
        start: First draw.
        window: Clips over which openings are summed for the peak; made whole steps.

    Raises:
        ConfigError: The clips of a rank are no whole micro-batches.
    """
    batch = ranks * clips_per_rank
    # A window is whole steps; warm-up and count are rounded up, to steps and to windows
    window = max(1, window // batch) * batch
    begin = start + -(-warm_up // batch) * batch
    num_windows = -(-count // window)
    clips = num_windows * window
    end = begin + clips

    counts = _Counts(order, ranks, look_back, begin=begin, window=window, num_windows=num_windows)
    block = max(1, order.num_clips // _BLOCKS_PER_EPOCH // batch) * batch
    for g in range(start, end, block):
        draws = order.draws(g, min(block, end - g))
        counts.add(draws, _ranks_of(draws, batch, micro_batch_size, ranks))

    prefetched = ReadConfig().prefetch_steps * clips_per_rank
    return Traffic(
        ranks=ranks,
        clips_per_rank=clips_per_rank,
        global_batch_size=batch,
        kb_per_clip=counts.frames / clips * FRAME_BYTES / 1e3,
        node_kb_per_clip=counts.node_frames / clips * FRAME_BYTES / 1e3,
        gets_per_clip=counts.requests / clips,
        readers=int(counts.openings.sum()) / counts.read_once,
        peak=float(counts.openings.max() / counts.openings.mean()),
        window=window,
        open_mb=float(np.mean(counts.held)) * FRAME_BYTES / 1e6,
        most_open_mb=float(np.max(counts.held)) * FRAME_BYTES / 1e6,
        ahead_mb=prefetched * counts.frames / clips * FRAME_BYTES / 1e6,
        step_ms=1e3 * _step_seconds(order, begin, batch, micro_batch_size, ranks),
    )


class _Counts:
    """Sums over the draws from `begin` on; earlier ones only warm up.

    Attributes:
        frames: Frames that all ranks read.
        node_frames: Frames that they would read if the ranks of a node shared them.
        requests: GETs of all ranks.
        read_once: Chunks that would be opened if all ranks shared them.
        openings: Chunks that ranks open, by window.
        held: Frames that each rank holds, after each block of draws.
    """

    def __init__(
        self, order: Order, ranks: int, look_back: int, *, begin: int, window: int, num_windows: int
    ) -> None:
        self.frames = 0
        self.node_frames = 0
        self.requests = 0
        self.read_once = 0
        self.openings = np.zeros(num_windows, np.int64)
        self.held: list[Int64] = []

        self._look_back = look_back
        self._begin = begin
        self._window = window
        # Each rank reads for itself, or each node, or all ranks as one, which opens every chunk once
        self._by_rank = Held(order, ranks)
        self._by_node = Held(order, -(-ranks // RANKS_PER_NODE))
        self._by_all = Held(order, 1)

    def add(self, draws: Draws, rank: Int64) -> None:
        """Count a block of whole steps.

        Args:
            draws: Its draws.
            rank: The rank of each draw, (num_draws,).
        """
        opened = self._opened(self._by_rank, draws, rank)
        by_node = self._opened(self._by_node, draws, rank // RANKS_PER_NODE)
        by_all = self._opened(self._by_all, draws, np.zeros_like(rank))

        sizes = draws.chunk_clips[opened] + self._look_back
        node_sizes = draws.chunk_clips[by_node] + self._look_back
        self.frames += int(sizes.sum())
        self.node_frames += int(node_sizes.sum())
        self.read_once += by_all.size
        # One GET for the index, the others for the chunk's bytes, rounded up
        self.requests += int((1 - (-sizes * FRAME_BYTES // RANGE_BYTES)).sum())

        windows = (draws.number[opened] - self._begin) // self._window
        self.openings += np.bincount(windows, minlength=self.openings.size)
        if draws.number[0] >= self._begin:
            self.held.append(self._by_rank.frames())

    def _opened(self, held: Held, draws: Draws, reader: Int64) -> Int64:
        """The first draw of each chunk that is opened from `begin` on."""
        opened = held.visit(draws, reader, self._look_back)
        return opened[draws.number[opened] >= self._begin]


def _ranks_of(draws: Draws, batch: int, micro_batch_size: int, ranks: int) -> Int64:
    """The rank of each draw of some whole steps, (num_draws,)."""
    placed = [
        place(step, micro_batch_size=micro_batch_size, world_size=ranks)
        for step in draws.split(batch)
    ]
    return np.concatenate([each.rank for each in placed])


def _step_seconds(order: Order, start: int, batch: int, micro_batch_size: int, ranks: int) -> float:
    seconds = []
    for g in range(start, start + 8 * batch, batch):
        began = time.thread_time()
        place(order.draws(g, batch), micro_batch_size=micro_batch_size, world_size=ranks)
        seconds.append(time.thread_time() - began)
    return float(np.median(seconds[1:]))
