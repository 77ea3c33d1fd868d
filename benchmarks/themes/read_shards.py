"""Clips as bytes, from a folder: chunks in the planned order, sixteen files a clip, and other loaders."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import webdataset

from surgstream.benchmarks.peers.samples import clips
from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import NUM_FRAMES, STRIDE, long_corpus
from surgstream.benchmarks.themes.read_peers import hand_on, peer_cases, stream_case
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.order.sequence import Order, OrderConfig, RankShare
from surgstream.shards.reading.clips import ClipBytes, ClipShape
from surgstream.shards.reading.feed import Reading
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.stores import open_storage

BATCH = 32
NUM_BATCHES = 80


def cases(folder: Path) -> list[Case]:
    """The stream, the same frames as loose files, the shards as webdataset reads them, and what peers make of them."""
    storage = open_storage(str(folder / "long"))
    long_corpus(folder, storage)
    table = FrameTable.open(storage)
    shards = [str(folder / "long" / shard.name) for shard in Manifest.load(storage).shards]
    loose = list(_loosen(table, folder / "loose"))

    def files() -> int:
        return sum(hand_on([path.read_bytes() for path in clip]) for clip in loose)

    def members() -> int:
        num_clips = 0
        for sample in webdataset.WebDataset(shards, shardshuffle=False):
            frames = [sample[name] for name in sorted(sample) if name.endswith(".jpg")]
            num_clips += sum(map(hand_on, clips(frames, NUM_FRAMES, STRIDE)))
        return num_clips

    return [
        stream_case(storage),
        Case("16 files opened a clip", "clips", files),
        Case("webdataset, our shards, in sequence", "clips", members),
        *peer_cases(folder, storage, str(folder / "peers")),
    ]


def open_stream(table: FrameTable) -> ClipStream:
    """The first clips of a run, as one rank reads them."""
    order = Order.create(table.sizes(), 0, OrderConfig(open_chunks=8, chunk_frames=320))
    return ClipStream(
        table,
        order,
        shape=ClipShape(num_frames=NUM_FRAMES, stride=STRIDE),
        rank_share=RankShare(rank=0, world_size=1, micro_batch_size=BATCH, global_batch_size=BATCH),
        reading=Reading(),
        start=0,
        stop=BATCH * NUM_BATCHES,
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
            path = (
                folder
                / f"{clip.dataset}_{clip.video}_{max(0, clip.anchor_frame - back * STRIDE)}.jpg"
            )
            path.write_bytes(frame.tobytes())
            paths.append(path)
        yield paths
