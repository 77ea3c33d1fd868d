"""Clips as bytes, from a folder: chunks in the planned order, against sixteen files a clip, and against webdataset."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import webdataset

from benchmarks.harness import Case
from benchmarks.material import NUM_FRAMES, STRIDE, long_corpus
from shards.clips import ClipBytes
from shards.manifest import Manifest
from shards.order import Order, OrderConfig
from shards.storage import open_storage
from shards.stream import ClipStream, ReadConfig
from shards.table import FrameTable

BATCH, NUM_BATCHES = 32, 80


def cases(folder: Path) -> list[Case]:
    """The stream, the same frames as loose files, and the shards as webdataset reads them: a segment a sample."""
    storage = open_storage(str(folder / "long"))
    long_corpus(folder, storage)
    table = FrameTable.open(storage)
    shards = [str(folder / "long" / shard.name) for shard in Manifest.load(storage).shards]
    loose = list(_loosen(table, folder / "loose"))

    def stream() -> int:
        with open_stream(table) as batches:
            return sum(len(clips) for clips in batches)

    def files() -> int:
        return sum(1 for clip in loose if [path.read_bytes() for path in clip])

    def samples() -> int:
        return sum(1 for _ in webdataset.WebDataset(shards, shardshuffle=False))

    return [
        Case("stream of chunks", "clips", stream),
        Case("16 files opened a clip", "clips", files),
        Case("webdataset, segments of 64 frames in sequence", "samples", samples),
    ]


def open_stream(table: FrameTable) -> ClipStream:
    """The first clips of a run, as one rank reads them."""
    return ClipStream(
        table,
        Order.create(table.sizes(), 0, OrderConfig(lanes=8, chunk_frames=320)),
        num_frames=NUM_FRAMES,
        stride=STRIDE,
        global_batch_size=BATCH,
        micro_batch_size=BATCH,
        rank=0,
        world_size=1,
        start=0,
        stop=BATCH * NUM_BATCHES,
        read=ReadConfig(),
    )


def first_clips(table: FrameTable, count: int) -> list[ClipBytes]:
    """Some clips, for those who measure what comes after reading."""
    with open_stream(table) as batches:
        return list(itertools.islice(itertools.chain.from_iterable(batches), count))


def _loosen(table: FrameTable, folder: Path) -> Iterator[list[Path]]:
    """Write the frames of the same clips as one file each; yields each clip's files."""
    folder.mkdir(exist_ok=True)
    for clip in first_clips(table, BATCH * NUM_BATCHES):
        paths = []
        for back, frame in zip(range(NUM_FRAMES - 1, -1, -1), clip.frames, strict=True):
            path = folder / f"{clip.dataset}_{clip.video}_{max(0, clip.anchor_frame - back * STRIDE)}.jpg"
            path.write_bytes(frame.tobytes())
            paths.append(path)
        yield paths
