"""Clips as bytes, from S3: what the stream delivers, against what boto3 alone streams over as many connections."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import NUM_FRAMES, STRIDE, long_corpus
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.order.sequence import Order, OrderConfig, RankShare
from surgstream.shards.reading.clips import ClipShape
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.feed import Reading
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.stores import Storage, open_storage

CONNECTIONS, RANGE_BYTES, READ_BYTES = 8, 8 * 2**20, 2**20
LANES, CHUNK_FRAMES, BATCH = 32, 320, 128


def cases(folder: Path, store: str) -> list[Case]:
    """Whole shards by boto3; then nearly an epoch, as clips of one frame and of many."""
    storage = open_storage(store)
    long_corpus(folder, storage)
    return [
        Case("boto3 alone", "MB", lambda: download(storage)),
        Case("boto3 alone, one connection", "MB", lambda: download(storage, connections=1)),
        Case("stream, clips of 1 frame", "MB", lambda: deliver(storage, num_frames=1)),
        Case(
            f"stream, clips of {NUM_FRAMES} frames",
            "MB",
            lambda: deliver(storage, num_frames=NUM_FRAMES),
        ),
        Case(
            "stream, what it fetches for these",
            "MB",
            lambda: deliver(storage, num_frames=NUM_FRAMES, fetched=True),
        ),
    ]


def download(storage: Storage, connections: int = CONNECTIONS) -> float:
    """Read the shards in ranges, as plainly as boto3 can; returns megabytes."""
    bucket, _, prefix = storage.uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")

    def read(task: tuple[str, int, int]) -> int:
        name, start, stop = task
        body = client.get_object(
            Bucket=bucket, Key=f"{prefix}/{name}", Range=f"bytes={start}-{stop - 1}"
        )["Body"]
        return sum(len(piece) for piece in body.iter_chunks(READ_BYTES))

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(read, _ranges(Manifest.load(storage)))) / 1e6


def deliver(storage: Storage, *, num_frames: int, fetched: bool = False) -> float:
    """Read clips; returns the megabytes of their frames, or of what was fetched, where clips share frames."""
    with open_stream(FrameTable.open(storage), num_frames=num_frames) as stream:
        for _ in stream:
            pass
        return (stream.counters.bytes_read if fetched else stream.counters.bytes_used) / 1e6


def open_stream(table: FrameTable, *, num_frames: int, endless: bool = False) -> ClipStream:
    """Three chunks of clips a lane, nearly an epoch, or ever more, as one rank reads them."""
    order = Order.create(table.sizes(), 0, OrderConfig(lanes=LANES, chunk_frames=CHUNK_FRAMES))
    return ClipStream(
        table,
        order,
        shape=ClipShape(num_frames=num_frames, stride=STRIDE),
        rank_share=RankShare(rank=0, world_size=1, micro_batch_size=BATCH, global_batch_size=BATCH),
        reading=Reading(read=ReadConfig(threads=CONNECTIONS, range_bytes=RANGE_BYTES)),
        start=0,
        stop=None if endless else 3 * LANES * CHUNK_FRAMES,
    )


def _ranges(manifest: Manifest) -> Iterator[tuple[str, int, int]]:
    for shard in manifest.shards:
        for start in range(0, shard.num_bytes, RANGE_BYTES):
            yield shard.name, start, min(start + RANGE_BYTES, shard.num_bytes)
