"""Layers of tiny videos, whose pictures carry their own number, and a slow reader of packed ones."""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerManifest, LayerShard
from surgstream.shards.format.manifest import Manifest, ManifestFile
from surgstream.shards.format.names import layer_manifest_name, layer_shard_name
from surgstream.shards.format.records import segments
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import SEGMENT_FRAMES
from tests.helpers.videos import HEIGHT, WIDTH, make_video

Draw = Callable[[int, tuple[int, int]], npt.NDArray[Any]]


def numbered(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> npt.NDArray[np.uint8]:
    """A mask whose every pixel is the number of its picture, from 1 on: 0 would be no class."""
    return np.full(size[::-1], number % 255 + 1, np.uint8)


def distances(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> npt.NDArray[np.uint16]:
    """Depth whose values grow to the right, and tell the number of their picture: 300 a picture."""
    return (np.arange(size[0], dtype=np.uint16) + 300 * number + 1)[None, :].repeat(size[1], 0)


def write_gray_video(
    path: Path,
    pts: Sequence[int] | int,
    draw: Draw = numbered,
    *,
    time_base: Fraction = Fraction(1, 25),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "ffv1",
    pixel_format: str | None = None,
) -> Path:
    """Write a lossless video of a layer: gray with as many bits as what is drawn, unless another format is named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = range(pts) if isinstance(pts, int) else pts
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1 / time_base)
        stream.width, stream.height = size
        kind = "gray" if draw(0, size).dtype == np.uint8 else "gray16le"
        stream.pix_fmt = pixel_format or kind
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(draw(number, size), format=kind)
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = stamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(
    folder: Path, numbers: Sequence[int], draw: Draw = numbered, *, suffix: str = ".png"
) -> Path:
    """Write a folder of numbered images of a layer."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(draw(number, (WIDTH, HEIGHT))).save(folder / f"{number:05d}{suffix}")
    return folder


def pictures_in(corpus: Path, layer: str) -> dict[tuple[str, str, int], npt.NDArray[Any] | None]:
    """Every picture of a layer by dataset, video and frame, by the names of members alone; None where there is none."""
    manifest = Manifest.load(open_storage(str(corpus)))
    segment_frames = int(manifest.packing["segment_frames"])
    found: dict[tuple[str, str, int], npt.NDArray[Any] | None] = {}
    for shard in manifest.shards:
        path = corpus / layer_shard_name(shard.name, layer)
        if not path.exists():
            continue
        with tarfile.open(path) as tar:
            contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for video in shard.videos:
            for number, segment in enumerate(segments(video.parts, segment_frames)):
                for i in range(segment.num_frames):
                    data = contents.pop(f"{video.id}_{number:05d}.{i:04d}.png", None)
                    picture = None if data is None else np.asarray(Image.open(io.BytesIO(data)))
                    found[shard.dataset, video.id, segment.first_frame + i] = picture
        assert not contents, "the tar has members that belong to no frame"
    return found


def run_here(
    work: Callable[[Any, Callable[..., None]], Any], tasks: Sequence[Any], *_: Any, **__: Any
) -> Iterator[tuple[Any, Any]]:
    """`shards.workers.run_all` in this process, for tests that start no others."""
    for task in tasks:
        yield task, work(task, lambda frames, failed=0: None)


def layers_of(config: dict[str, Any] | None = None) -> dict[str, Any]:
    """A dataset of videos with masks and depth, for `write_corpus`."""
    return {
        "name": "d",
        "videos": "videos/*.mp4",
        "layers": {
            "mask": "masks/{video}.mkv",
            "depth": {"path": "depth/{video}", "millimetres_per_unit": 0.01},
        },
        **(config or {}),
    }


def write_sources(folder: Path, *videos: str, count: int = 50) -> None:
    """Write videos of 25 pictures a second with masks of all pictures, and with depth of every tenth picture."""
    for video in videos:
        make_video(folder / "videos" / f"{video}.mp4", count)
        write_gray_video(folder / "masks" / f"{video}.mkv", count)
        write_images(folder / "depth" / video, range(0, count, 10), distances)


def write_layer(
    folder: Path, layer: str, draw: Callable[[str, str, int], npt.NDArray[Any] | None]
) -> LayerManifest:
    """Write a layer of a handmade corpus by `tarfile` alone, so that reading is tested against it.

    Args:
        folder: The corpus, as `tests.helpers.handmade` writes it.
        layer: The name of the layer.
        draw: The picture of a frame, by dataset, video and number; None where it has none.
    """
    corpus = ManifestFile.load(open_storage(str(folder)))
    shards, kinds = [], set()
    for shard in corpus.shards():
        path = folder / layer_shard_name(shard.name, layer)
        rows = []
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for video in shard.videos:
                named = [
                    (f"{video.id}_{number:05d}.{i:04d}.png", segment.first_frame + i)
                    for number, segment in enumerate(segments(video.parts, SEGMENT_FRAMES))
                    for i in range(segment.num_frames)
                ]
                for name, frame in named:
                    picture = draw(shard.dataset, video.id, frame)
                    if picture is None:
                        rows.append((tar.offset, 0, 0))
                        continue
                    kinds.add(picture.dtype)
                    file = io.BytesIO()
                    Image.fromarray(picture).save(file, "PNG")
                    member = tarfile.TarInfo(name)
                    member.size = file.tell()
                    offset = tar.offset + tarfile.BLOCKSIZE
                    rows.append((offset, member.size, zlib.crc32(file.getvalue())))
                    tar.addfile(member, io.BytesIO(file.getvalue()))
        index = np.array(rows, ROW).tobytes()
        path.with_suffix(".idx").write_bytes(index)
        shards.append(
            LayerShard(
                shard=shard.name,
                num_bytes=path.stat().st_size,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                index_sha256=hashlib.sha256(index).hexdigest(),
                num_frames=len(rows),
                num_pictures=sum(size > 0 for _, size, _ in rows),
                num_videos=len(shard.videos),
                missing=(),
            )
        )
    manifest = LayerManifest(
        format_version=1,
        layer=layer,
        corpus=corpus.sha256,
        values="depth" if np.dtype(np.uint16) in kinds else "classes",
        shards=tuple(shards),
        quarantine=(),
        software={},
    )
    (folder / layer_manifest_name(layer)).write_bytes(manifest.to_bytes())
    return manifest
