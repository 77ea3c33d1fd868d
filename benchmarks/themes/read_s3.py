"""Clips as bytes, from S3: what the stream delivers, against what boto3 alone streams over as many connections."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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

CONNECTIONS = 8
RANGE_BYTES = 8 * 2**20
READ_BYTES = 2**20
LANES = 32
CHUNK_FRAMES = 320
BATCH = 128


def cases(folder: Path, store: str) -> list[Case]:
    """Whole shards by boto3; then nearly an epoch, as clips of one frame and of many."""
    storage = open_storage(store)
    long_corpus(folder, storage)

    work = {
        "boto3 alone": partial(download, storage),
        "boto3 alone, one connection": partial(download, storage, connections=1),
        "stream, clips of 1 frame": partial(deliver, storage, num_frames=1),
        f"stream, clips of {NUM_FRAMES} frames": partial(deliver, storage, num_frames=NUM_FRAMES),
        "stream, what it fetches for these": partial(
            deliver, storage, num_frames=NUM_FRAMES, fetched=True
        ),
    }
    return [Case(name, "MB", run) for name, run in work.items()]


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
    """A stream of three chunks of clips for each lane, nearly an epoch, or without an end, as one rank reads it."""
    order = Order.create(
        table.sizes(), 0, OrderConfig(open_chunks=LANES, chunk_frames=CHUNK_FRAMES)
    )
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
