"""Clips as bytes through other loaders, from a folder or from S3 with nothing cached.

They store samples, and know nothing of frames. As a clip a sample, each frame is stored once for every clip that shows
it, 16 times where every frame is an anchor; here only as many clips are stored as are read. As 64 frames a sample, each
is stored once, but of 64 anchors only the last 4 have a whole clip in their sample, and these follow each other.
"""

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

# Without it torchvision, which Streaming imports, fails with a CPU-only torch
import surgstream.trainer.models.images.teacher  # noqa: F401
from surgstream.benchmarks.peers.samples import clips, pack, unpack
from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import NUM_FRAMES, SEGMENT_FRAMES, STRIDE, long_corpus
from surgstream.benchmarks.themes.read_s3 import open_stream
from surgstream.shards.format import index
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import Storage, open_storage, read_range

PEERS = {"litdata": "litData", "streaming": "MosaicML Streaming", "webdataset": "webdataset"}
NUM_CLIPS = 2560
NUM_WORKERS = 2


def cases(folder: Path, store: str) -> list[Case]:
    """The stream and its peers, all from S3."""
    corpus = open_storage(store)
    long_corpus(folder, corpus)
    return [stream_case(corpus), *peer_cases(folder, corpus, f"{store}-peers")]


def stream_case(corpus: Storage) -> Case:
    """Nearly an epoch of the stream."""
    table = FrameTable.open(corpus)

    def run() -> int:
        with open_stream(table, num_frames=NUM_FRAMES) as batches:
            return sum(hand_on(clip.frames) for clip in chain.from_iterable(batches))

    return Case("stream, any frame an anchor", "clips", run)


def peer_cases(folder: Path, corpus: Storage, place: str) -> list[Case]:
    """An epoch of what each peer can store of the corpus, without and with workers; writes it to `place`."""
    found = []
    for module, name in PEERS.items():
        try:
            peer = importlib.import_module(f"surgstream.benchmarks.peers.{module}")
        except ImportError as error:
            found.append(Case(name, "clips", None, missing=f"{error}"))
            continue

        for layout, stride in (("clip", 1), (f"{SEGMENT_FRAMES} frames", STRIDE)):
            where = f"{place}/{module}-{layout.replace(' ', '-')}"
            _write(peer, _samples(corpus, stride), open_storage(where))
            for workers in (0, NUM_WORKERS):
                told = f"{name}, {layout} a sample" + f", {workers} workers" * bool(workers)
                found.append(
                    Case(told, "clips", partial(read, peer, where, folder, stride, workers))
                )

    return found


def read(peer: ModuleType, place: str, folder: Path, stride: int, workers: int) -> int:
    """Read every sample and cut it into clips; returns how many."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        samples = peer.samples(place, Path(cache), workers)
        num_clips = 0
        for frames in chain.from_iterable(map(unpack, samples)):
            num_clips += sum(map(hand_on, clips(frames, NUM_FRAMES, stride)))
        return num_clips


def hand_on(frames: Iterable[Any]) -> int:
    """Copy a clip's frames (buffers), as feeding a decoder does: who maps files has not read them before. Returns 1."""
    b"".join(frames)
    return 1


def _samples(corpus: Storage, stride: int) -> Iterator[bytes]:
    """Packed clips, or packed runs of frames."""
    if stride == 1:
        with open_stream(FrameTable.open(corpus), num_frames=NUM_FRAMES) as batches:
            for clip in islice(chain.from_iterable(batches), NUM_CLIPS):
                yield pack([frame.data for frame in clip.frames])
        return

    for shard in Manifest.load(corpus).shards:
        for start in range(0, shard.num_frames, SEGMENT_FRAMES):
            stop = min(start + SEGMENT_FRAMES, shard.num_frames)
            rows = index.read_rows(corpus, shard.index_name, start, stop)
            first = int(rows["offset"][0])
            starts = (rows["offset"] - first).tolist()
            stops = (rows["offset"] + rows["size"] - first).tolist()

            data = memoryview(read_range(corpus, shard.name, first, first + stops[-1]))
            yield pack([data[begin:end] for begin, end in zip(starts, stops, strict=True)])


def _write(peer: ModuleType, samples: Iterator[bytes], storage: Storage) -> None:
    """Let a peer write a folder, and copy it, unless it is there."""
    if storage.sizes():
        return
    with tempfile.TemporaryDirectory() as scratch:
        peer.write(samples, Path(scratch))
        for path in sorted(Path(scratch).iterdir()):
            storage.write(path.name, path.read_bytes())
