"""A stream of a corpus, and ranks that read it in processes of their own."""

import os
import zlib
from pathlib import Path

from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.stores import S3Config, open_storage
from tests.helpers.streams import clip_stream

NUM_FRAMES, STRIDE, BATCH = 4, 3, 12


def stream(
    uri: str,
    config: S3Config,
    stop: int | None,
    *,
    start: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> ClipStream:
    table = FrameTable.open(open_storage(uri, config), check=False)
    return clip_stream(
        table,
        Order.create(table.sizes(), 5, OrderConfig(open_chunks=6, chunk_frames=7)),
        num_frames=NUM_FRAMES,
        stride=STRIDE,
        global_batch_size=BATCH,
        micro_batch_size=1,
        rank=rank,
        world_size=world_size,
        start=start,
        stop=stop,
        read=ReadConfig(threads=4),
    )


def consume(uri: str, config: S3Config, start: int, log: str) -> None:
    """As one rank of many, read until somebody kills this process, and write a line a clip to `log`.rank0 and so on."""
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    with (
        stream(uri, config, None, start=start, rank=rank, world_size=world_size) as clips,
        Path(f"{log}.rank{rank}").open("wb", buffering=0) as file,
    ):
        for (clip,) in clips:
            file.write(f"{line(clip)}\n".encode())


def line(clip: ClipBytes) -> str:
    """All that matters about a clip."""
    checksums = [zlib.crc32(frame.data) for frame in clip.frames]
    return f"{clip.draw:06d} {clip.dataset}/{clip.video}@{clip.anchor_frame} {checksums}"


def consumed(log: Path) -> list[str]:
    """The clips that a rank has logged so far."""
    return log.read_text().splitlines() if log.exists() else []
