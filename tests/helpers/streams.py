"""Streams and passes of clips, from settings one by one, as tests vary them."""

from collections.abc import Sequence

from surgstream.shards.order.sequence import MicroBatches, Order, RankShare
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.clips import BadClipLimits, ClipShape
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.feed import Reading
from surgstream.shards.reading.locations import ClipTable
from surgstream.shards.reading.passes import ClipPass, Selection
from surgstream.shards.reading.stream import ClipStream


def clip_stream(
    table: ClipTable,
    order: Order,
    *,
    num_frames: int,
    stride: int,
    global_batch_size: int,
    micro_batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    start: int = 0,
    stop: int | None,
    micro_batches: MicroBatches = "by_chunk",
    read: ReadConfig = ReadConfig(),  # noqa: B008 - frozen
    limits: BadClipLimits = BadClipLimits(),  # noqa: B008 - frozen
    cache: ChunkCache | None = None,
) -> ClipStream:
    return ClipStream(
        table,
        order,
        shape=ClipShape(num_frames=num_frames, stride=stride),
        rank_share=RankShare(
            rank=rank,
            world_size=world_size,
            micro_batch_size=micro_batch_size,
            global_batch_size=global_batch_size,
            micro_batches=micro_batches,
        ),
        reading=Reading(read=read, limits=limits, cache=cache),
        start=start,
        stop=stop,
    )


def one_step_share(rank: int, world_size: int, micro_batch_size: int) -> RankShare:
    """The share of a rank in a pass, of which a step takes one micro-batch of every rank."""
    return RankShare(
        rank=rank,
        world_size=world_size,
        micro_batch_size=micro_batch_size,
        global_batch_size=micro_batch_size * world_size,
    )


def clip_pass(
    table: ClipTable,
    *,
    num_frames: int,
    stride: int,
    micro_batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    chunk_frames: int,
    read: ReadConfig = ReadConfig(),  # noqa: B008 - frozen
    limits: BadClipLimits = BadClipLimits(),  # noqa: B008 - frozen
    num_clips: int | None = None,
    datasets: Sequence[str] | None = None,
) -> ClipPass:
    return ClipPass(
        table,
        Selection(num_clips=num_clips, datasets=datasets),
        shape=ClipShape(num_frames=num_frames, stride=stride),
        rank_share=one_step_share(rank, world_size, micro_batch_size),
        reading=Reading(read=read, limits=limits),
        chunk_frames=chunk_frames,
    )
