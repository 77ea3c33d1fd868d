"""What the benchmarks read: a small synthetic corpus, packed at the size that training uses, and a long one of it."""

import hashlib
import itertools
import os
import zlib
from pathlib import Path

import numpy as np

from launch.__main__ import main as surgstream
from shards import index
from shards.manifest import Manifest
from shards.packed import PackedVideo, Part, Shard
from shards.schema import FORMAT_VERSION, MANIFEST_NAME, frame_member, index_name, segment_key, shard_name
from shards.storage import Storage, open_storage, read_range
from shards.writer import TarWriter

NUM_FRAMES, STRIDE, IMAGE_SIZE = 16, 4, 224
SEGMENT_FRAMES = 64


def packed_corpus(folder: Path) -> Path:
    """Make and pack the corpus in `folder`, unless it is there, or $SURGSTREAM_CORPUS names another.

    Returns:
        The packed corpus: some 450 frames, short side 256.
    """
    if given := os.environ.get("SURGSTREAM_CORPUS"):
        return Path(given)
    shards = folder / "shards"
    if not (shards / "manifest.json").exists():
        for words in (
            ("synth", str(folder / "videos"), "--seconds", "10"),
            ("pack", str(folder / "videos" / "corpus.yaml"), str(shards), "fps=5"),
        ):
            if surgstream(words):
                raise SystemExit(f"benchmarks: surgstream {' '.join(words)} failed")
    return shards


def long_corpus(folder: Path, storage: Storage, *, num_shards: int = 4, shard_frames: int = 8000) -> None:
    """Write shards of one long video each, the small corpus's frames over and over, unless they are there.

    Args:
        folder: Where the small corpus is made.
        storage: Where the long one goes: some 420 MB.
        num_shards: Its shards.
        shard_frames: Frames in each.
    """
    if storage.size(MANIFEST_NAME) is not None:
        return
    small = open_storage(str(packed_corpus(folder)))
    source = Manifest.load(small).shards[0]
    rows = index.read_rows(small, source.index_name, 0, source.num_frames)
    jpegs = [read_range(small, source.name, row["offset"], row["offset"] + row["size"]) for row in rows]
    shards = [_write_long(storage, number, source, jpegs, shard_frames) for number in range(num_shards)]
    manifest = Manifest(format_version=FORMAT_VERSION, packing={}, shards=tuple(shards))
    storage.write(MANIFEST_NAME, manifest.to_bytes())


def _write_long(storage: Storage, number: int, source: Shard, jpegs: list[bytes], num_frames: int) -> Shard:
    name, video, rows = shard_name("long", number), f"video{number}", []
    with storage.writer(name) as sink:
        tar = TarWriter(sink)
        for i, jpeg in enumerate(itertools.islice(itertools.cycle(jpegs), num_frames)):
            key = segment_key(video, i // SEGMENT_FRAMES)
            rows.append((tar.add(frame_member(key, i % SEGMENT_FRAMES), jpeg), len(jpeg), zlib.crc32(jpeg)))
        tar.close()
    data = index.to_bytes(np.array(rows, index.ROW))
    storage.write(index_name(name), data)
    packed = PackedVideo(
        id=video,
        source=f"{video}.mp4",
        parts=(Part(first_frame=0, num_frames=num_frames),),
        first_row=0,
        fps=5.0,
        width=source.videos[0].width,
        height=source.videos[0].height,
    )
    return Shard(
        name=name,
        num_bytes=tar.num_bytes,
        sha256=tar.sha256,
        index_sha256=hashlib.sha256(data).hexdigest(),
        dataset="long",
        specialty=source.specialty,
        procedure=source.procedure,
        videos=(packed,),
    )
