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
        open_mb: Mean over ranks and steps of what a rank holds for later steps, 10^6 bytes.
        most_open_mb: The most that any rank held.
        ahead_mb: What a rank reads for the 32 steps of its prefetch, on average; it is in memory as well.
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
        """Nobody holds anything yet.

        Args:
            order: The order.
            num_readers: Readers.
        """
        self._num_readers = num_readers
        self._lanes = order.segments[-1].lanes + 1  # and that of the leftovers
        self._now = np.full(len(order.dataset_names) * self._lanes, -1)
        self._keys = self._frames = np.empty(0, np.int64)

    def visit(self, draws: Draws, reader: Int64, look_back: int) -> Int64:
        """Read what draws need and their reader does not hold, then let go of chunks whose lane has left them.

        Args:
            draws: Some steps, within which no lane comes back to a chunk that it has left.
            reader: Who treats each draw, (num_draws,).
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
        self._now[lane] = draws.chunk_first  # of a lane's draws the last one counts

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

    Returns:
        What they read and hold.

    Raises:
        ConfigError: The clips of a rank are no whole micro-batches.
    """
    batch = ranks * clips_per_rank
    # A window is whole steps; warm-up and count are rounded up, to steps and to windows
    window = max(1, window // batch) * batch
    begin = start + -(-warm_up // batch) * batch
    end = begin + -(-count // window) * window
    nodes = -(-ranks // RANKS_PER_NODE)
    # Who reads for itself: each rank, each node, and all ranks as one, which opens every chunk once
    by_rank = Held(order, ranks)
    by_node = Held(order, nodes)
    alone = Held(order, 1)
    openings = np.zeros((end - begin) // window, np.int64)
    frames = node_frames = requests = read_once = 0
    held: list[Int64] = []
    block = max(1, order.num_clips // _BLOCKS_PER_EPOCH // batch) * batch

    for g in range(start, end, block):
        draws = order.draws(g, min(block, end - g))
        rank = _deal(draws, batch, micro_batch_size, ranks)
        opened, node_opened, opened_once = (
            indices[draws.g[indices] >= begin]
            for indices in (
                by_rank.visit(draws, rank, look_back),
                by_node.visit(draws, rank // RANKS_PER_NODE, look_back),
                alone.visit(draws, np.zeros_like(rank), look_back),
            )
        )
        sizes = draws.chunk_clips[opened] + look_back
        frames += int(sizes.sum())
        node_frames += int((draws.chunk_clips[node_opened] + look_back).sum())
        # One GET for the index, the others for the chunk's bytes, rounded up
        requests += int((1 - (-sizes * FRAME_BYTES // RANGE_BYTES)).sum())
        read_once += opened_once.size
        openings += np.bincount((draws.g[opened] - begin) // window, minlength=openings.size)
        if g >= begin:
            held.append(by_rank.frames())

    clips = end - begin
    return Traffic(
        ranks=ranks,
        clips_per_rank=clips_per_rank,
        global_batch_size=batch,
        kb_per_clip=frames / clips * FRAME_BYTES / 1e3,
        node_kb_per_clip=node_frames / clips * FRAME_BYTES / 1e3,
        gets_per_clip=requests / clips,
        readers=int(openings.sum()) / read_once,
        peak=float(openings.max() / openings.mean()),
        window=window,
        open_mb=float(np.mean(held)) * FRAME_BYTES / 1e6,
        most_open_mb=float(np.max(held)) * FRAME_BYTES / 1e6,
        ahead_mb=ReadConfig().prefetch_steps * clips_per_rank * frames / clips * FRAME_BYTES / 1e6,
        step_ms=1e3 * _step_seconds(order, begin, batch, micro_batch_size, ranks),
    )


def _deal(draws: Draws, batch: int, micro_batch_size: int, ranks: int) -> Int64:
    """The rank of each draw of some whole steps, (num_draws,)."""
    steps = draws.split(batch)
    return np.concatenate(
        [place(step, micro_batch_size=micro_batch_size, world_size=ranks).rank for step in steps]
    )


def _step_seconds(order: Order, start: int, batch: int, micro_batch_size: int, ranks: int) -> float:
    seconds = []
    for g in range(start, start + 8 * batch, batch):
        began = time.thread_time()
        place(order.draws(g, batch), micro_batch_size=micro_batch_size, world_size=ranks)
        seconds.append(time.thread_time() - began)
    return float(np.median(seconds[1:]))
