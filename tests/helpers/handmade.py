"""Tiny corpora made with tarfile alone, so that reading is tested against something that packing did not write."""

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from surgstream.shards.format.index import ROW
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    frame_member,
    segment_key,
    segment_member,
    shard_name,
)
from surgstream.shards.format.records import PackedVideo, Part, Shard

SEGMENT_FRAMES = 8

Layout = dict[str, list[dict[str, list[tuple[int, int]]]]]
"""dataset -> shards -> video -> parts, as (first frame, number of frames)."""

LAYOUT: Layout = {
    "cataract": [{"v0": [(0, 40)]}, {"v1": [(0, 5), (9, 30)], "v2": [(3, 1)]}, {"v3": [(0, 17)]}],
    "knee": [{"a": [(0, 11)]}],
}
"""Shorter than a clip's look-back, several parts, several shards, a single frame."""


WIDTH, HEIGHT = 64, 48


def jpeg(dataset: str, video: str, frame: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Bytes that stand for a frame: no picture behind the header, but its own and of its own length."""
    start, frame_header, scan = 0xFFD8, 0xFFC0, 0xFFDA
    one_component = (11, 8, height, width, 1, 1, 0x11, 0)
    header = struct.pack(">HHHBHHBBBBH", start, frame_header, *one_component, scan)
    name = f"{dataset}/{video}/{frame};".encode()
    return header + name * (5 + zlib.crc32(name) % 60)


def write_corpus(
    folder: Path,
    layout: Layout = LAYOUT,
    fps: float | dict[str, float] = 5.0,
    picture: Callable[[str, str, int], bytes] = jpeg,
    stills: Collection[str] = (),
) -> Manifest:
    """Write a corpus of made-up frames.

    Args:
        folder: Where to.
        layout: Its datasets.
        fps: Frames a second: of all, or by video; as the tiny recipes want them by default.
        picture: The bytes of a frame of `WIDTH` x `HEIGHT`, by dataset, video and number.
        stills: The datasets of still images.

    Returns:
        Its manifest.
    """
    shards = [
        replace(
            _write_shard(folder, dataset, number, videos, fps, picture), stills=dataset in stills
        )
        for dataset, numbered in layout.items()
        for number, videos in enumerate(numbered)
    ]
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        packing={},
        shards=tuple(sorted(shards, key=lambda shard: shard.name)),
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def read_frame(folder: Path, shard: Shard, video: str, frame: int) -> bytes:
    """A frame's bytes by its name in the tar, without the index."""
    number = _frame_numbers(next(v for v in shard.videos if v.id == video).parts).index(frame)
    with tarfile.open(folder / shard.name) as tar:
        member = tar.extractfile(
            frame_member(segment_key(video, number // SEGMENT_FRAMES), number % SEGMENT_FRAMES)
        )
        assert member
        return member.read()


def _write_shard(
    folder: Path,
    dataset: str,
    number: int,
    videos: dict[str, list[tuple[int, int]]],
    fps: float | dict[str, float],
    picture: Callable[[str, str, int], bytes],
) -> Shard:
    name = shard_name(dataset, number)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    packed, row = [], 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for video, spans in videos.items():
            parts = tuple(Part(first_frame=first, num_frames=count) for first, count in spans)
            for i, frame in enumerate(_frame_numbers(parts)):
                key = segment_key(video, i // SEGMENT_FRAMES)
                if i % SEGMENT_FRAMES == 0:
                    _add(tar, segment_member(key), b"{}")
                _add(tar, frame_member(key, i % SEGMENT_FRAMES), picture(dataset, video, frame))
            packed.append(
                PackedVideo(
                    id=video,
                    source=f"{video}.mp4",
                    parts=parts,
                    first_row=row,
                    fps=fps[video] if isinstance(fps, dict) else fps,
                    width=WIDTH,
                    height=HEIGHT,
                )
            )
            row += packed[-1].num_frames
    index = _write_index(path)
    return Shard(
        name=name,
        num_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        index_sha256=hashlib.sha256(index).hexdigest(),
        dataset=dataset,
        specialty=f"{dataset} surgery",
        procedure=dataset,
        videos=tuple(packed),
    )


def _write_index(path: Path) -> bytes:
    with tarfile.open(path) as tar:
        frames = [member for member in tar.getmembers() if member.name.endswith(".jpg")]
        rows = [(m.offset_data, m.size, zlib.crc32(tar.extractfile(m).read())) for m in frames]
    data = np.array(rows, ROW).tobytes()
    path.with_suffix(".idx").write_bytes(data)
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _frame_numbers(parts: tuple[Part, ...]) -> list[int]:
    return [part.first_frame + i for part in parts for i in range(part.num_frames)]
