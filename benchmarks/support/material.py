"""Material of the benchmarks: a small synthetic corpus, packed at the size that training uses, and a long one of it."""

import bisect
import hashlib
import io
import itertools
import os
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format import index
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    frame_member,
    index_name,
    segment_key,
    shard_name,
)
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.format.tar import TarWriter
from surgstream.shards.storage.stores import Storage, open_storage, read_range

NUM_FRAMES = 16
STRIDE = 4
IMAGE_SIZE = 224
SEGMENT_FRAMES = 64
ENCODERS = {
    "libx264": {"crf": "18", "preset": "veryfast", "x264-params": "scenecut=0"},
    "libx265": {
        "crf": "20",
        "preset": "ultrafast",
        "x265-params": "scenecut=0:bframes=0:log-level=error",
    },
    "mjpeg": {"qmin": "2", "qmax": "2"},
}
PIXEL_FORMATS = {"mjpeg": "yuvj420p"}


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


def long_corpus(
    folder: Path, storage: Storage, *, num_shards: int = 4, shard_frames: int = 8000
) -> None:
    """Write shards of one long video each, the small corpus's frames over and over, unless they are there.

    Args:
        folder: The folder of the small corpus.
        storage: The store of the long one, which takes some 420 MB.
        num_shards: Its shards.
        shard_frames: Frames in each.
    """
    if storage.size(MANIFEST_NAME) is not None:
        return

    small = open_storage(str(packed_corpus(folder)))
    source = Manifest.load(small).shards[0]
    jpegs = shard_frames_of(small, source)
    shards = [
        _write_long(storage, number, source, jpegs, shard_frames) for number in range(num_shards)
    ]

    # The manifest is last: where it is missing, all is written again
    manifest = Manifest(format_version=FORMAT_VERSION, packing={}, shards=tuple(shards))
    storage.write(MANIFEST_NAME, manifest.to_bytes())


def shard_frames_of(storage: Storage, shard: Shard) -> list[bytes]:
    """All JPEGs of a shard."""
    rows = index.read_rows(storage, shard.index_name, 0, shard.num_frames)
    return [
        read_range(storage, shard.name, row["offset"], row["offset"] + row["size"]) for row in rows
    ]


def encode_video(jpegs: Sequence[bytes], path: Path, codec: str, gop_frames: int) -> Path:
    """Encode frames as an MP4 of closed groups of pictures without B-frames, unless it is there.

    Args:
        jpegs: The frames.
        path: The file of the video.
        codec: FFmpeg's name of the encoder.
        gop_frames: Frames from one key frame to the next; 1 makes every frame one.
    """
    if path.exists():
        return path

    pictures = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5, options=ENCODERS[codec])
        width, height = (
            pixels + pixels % 2 for pixels in pictures[0].size
        )  # colours have half the resolution
        stream.width = width
        stream.height = height
        stream.pix_fmt = PIXEL_FORMATS.get(codec, "yuv420p")
        stream.gop_size = gop_frames
        stream.max_b_frames = 0
        for picture in pictures:
            container.mux(
                stream.encode(av.VideoFrame.from_image(picture.crop((0, 0, width, height))))
            )
        # What the encoder still holds
        container.mux(stream.encode())
    return path


def cut_video(path: Path, frames: Sequence[int]) -> tuple[bytes, list[int]]:
    """Copy the packets that some frames need into a video of their own, decoding nothing.

    Args:
        path: A video without B-frames.
        frames: Numbers of its frames.

    Returns:
        An MP4, and the numbers that these frames have in it.
    """
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        # The demuxer ends with an empty packet
        packets = [packet for packet in source.demux(stream) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]

        # From the last key frame to the frame itself: without B-frames nothing after it is needed
        spans = (range(keys[bisect.bisect(keys, frame) - 1], frame + 1) for frame in frames)
        kept = sorted({*itertools.chain.from_iterable(spans)})

        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as target:
            copy = target.add_stream_from_template(stream)
            for place, number in enumerate(kept):
                packet = packets[number]
                # New times without gaps, as if these frames were the whole video
                packet.stream = copy
                packet.time_base = Fraction(1, 5)
                packet.duration = 1
                packet.pts = packet.dts = place
                target.mux(packet)
    return file.getvalue(), [kept.index(frame) for frame in frames]


def _write_long(
    storage: Storage, number: int, source: Shard, jpegs: list[bytes], num_frames: int
) -> Shard:
    name = shard_name("long", number)
    video = f"video{number}"
    rows = []
    with storage.writer(name) as sink:
        tar = TarWriter(sink)
        for i, jpeg in enumerate(itertools.islice(itertools.cycle(jpegs), num_frames)):
            key = segment_key(video, i // SEGMENT_FRAMES)
            # A row of the index: where in the tar, how many bytes, their CRC-32
            rows.append(
                (tar.add(frame_member(key, i % SEGMENT_FRAMES), jpeg), len(jpeg), zlib.crc32(jpeg))
            )
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
