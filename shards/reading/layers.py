"""Layers of packed frames, such as masks or depth: the picture of each frame, read by ranges and checked.

A layer belongs to one version of a corpus, whose SHA-256 it names, and its indexes have checksums, which are compared
before a row is believed. So a frame has its own picture, or None where it has none, or it is an error.
"""

import hashlib
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import CorruptSampleError, ManifestError
from surgstream.shards.format.index import ROW, Rows, from_bytes
from surgstream.shards.format.layers import LayerManifest, LayerShard
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import layer_manifest_name
from surgstream.shards.format.png import Picture, from_png
from surgstream.shards.format.records import PackedVideo
from surgstream.shards.storage.stores import Storage, read_range

Int64 = npt.NDArray[np.int64]

GAP_BYTES = 2**18
"""Most bytes between two wanted pictures that are read with them; a request of its own takes longer."""

RANGE_BYTES = 8 * 2**20
"""The most bytes of one request, other than of a larger picture."""

_KEPT_INDEXES = 64
_MAX_READS = 5


@dataclass(frozen=True)
class _Video:
    """A video of a shard: the frames of its parts, the first row of each part, and the size of its frames."""

    shard: str
    id: str
    firsts: tuple[int, ...]
    stops: tuple[int, ...]
    first_rows: tuple[int, ...]
    size: tuple[int, int]

    def row(self, frame: int) -> int | None:
        """The row of a frame; None where it was not packed."""
        part = bisect_right(self.firsts, frame) - 1
        if part < 0 or frame >= self.stops[part]:
            return None
        return self.first_rows[part] + frame - self.firsts[part]


class Layer:
    """A layer of a corpus; safe to use from many threads.

    Attributes:
        manifest: Its manifest, which tells what the pictures hold.
    """

    def __init__(
        self, storage: Storage, manifest: LayerManifest, shards: dict[str, LayerShard]
    ) -> None:
        self.manifest = manifest
        self._storage = storage
        self._shards = shards
        self._videos: dict[tuple[str, str], _Video] = {}
        self._index = lru_cache(_KEPT_INDEXES)(self._read_index)

    def has(self, dataset: str) -> bool:
        """Whether a dataset has the layer."""
        return any(name.partition("/")[0] == dataset for name in self._shards)

    def frames(self, dataset: str, video: str) -> Int64:
        """Which frames of a video have a picture, by their numbers in the video, in growing order.

        Raises:
            CorruptSampleError: The index is not what was packed.
            IndexError: There is no such video.
            StorageError: The store fails.
        """
        found = self._found(dataset, video)
        own = self._shards.get(found.shard)
        if own is None:
            return np.empty(0, np.int64)

        sizes = self._index(own)["size"]
        numbers = []
        for first, stop, row in zip(found.firsts, found.stops, found.first_rows, strict=True):
            has_one = sizes[row : row + stop - first] > 0
            numbers.append(first + np.flatnonzero(has_one))
        return np.concatenate(numbers)

    def size(self, dataset: str, video: str) -> tuple[int, int]:
        """Width and height of the frames of a video in pixels; for errors see `frames`."""
        return self._found(dataset, video).size

    def pictures(self, dataset: str, video: str, frames: Sequence[int]) -> list[Picture | None]:
        """Read the pictures of some frames of a video.

        Args:
            dataset: The dataset.
            video: Id of the video.
            frames: Numbers of packed frames in the video, as `Location.frame` has them, in any order.

        Returns:
            Values of each frame: uint8 numbers of classes or uint16 distances in 1 / `STEPS_PER_MILLIMETRE` mm, of the
            frame's size, (H, W); None where the frame has none.

        Raises:
            CorruptSampleError: A picture, or an index, is not what was packed.
            IndexError: There is no such video, or no such frame in it.
            StorageError: The store fails.
        """
        found = self._found(dataset, video)
        own = self._shards.get(found.shard)
        if own is None:
            return [None] * len(frames)

        rows = {}
        for frame in frames:
            row = found.row(frame)
            if row is None:
                raise IndexError(f"{dataset}/{video}: expected a packed frame, got {frame}")
            rows[frame] = row

        index = self._index(own)
        wanted = sorted({row for row in rows.values() if index["size"][row]})
        pictures: dict[int, Picture] = {}
        for run in _near(wanted, index):
            pictures |= self._read(own, found, index, run)
        return [pictures.get(rows[frame]) for frame in frames]

    def add(self, shard: str, video: PackedVideo) -> None:
        """Make a video of the corpus known."""
        row = video.first_row
        first_rows = []
        for part in video.parts:
            first_rows.append(row)
            row += part.num_frames
        self._videos[shard.partition("/")[0], video.id] = _Video(
            shard=shard,
            id=video.id,
            firsts=tuple(part.first_frame for part in video.parts),
            stops=tuple(part.first_frame + part.num_frames for part in video.parts),
            first_rows=tuple(first_rows),
            size=(video.width, video.height),
        )

    def _found(self, dataset: str, video: str) -> _Video:
        found = self._videos.get((dataset, video))
        if found is None:
            raise IndexError(f"expected a video of the corpus, got {video!r} of {dataset!r}")
        return found

    def _read_index(self, own: LayerShard) -> Rows:
        """Read the index of a shard, again where it is not what was packed: a bit may flip on the way."""
        name = self.manifest.index_name(own)
        for _ in range(2):
            data = read_range(self._storage, name, 0, own.num_frames * ROW.itemsize)
            got = hashlib.sha256(data).hexdigest()
            if got == own.index_sha256:
                return self._checked(own, from_bytes(data, where=name))
        raise CorruptSampleError(
            f"{self._storage.uri}: {name}: SHA-256: expected {own.index_sha256}, got {got}; "
            "run `surgstream verify`, then copy the layer again or pack it again"
        )

    def _checked(self, own: LayerShard, rows: Rows) -> Rows:
        """Rows that lead nowhere but into the tar."""
        stops = rows["offset"].astype(np.float64) + rows["size"]
        if (stops > own.num_bytes).any() or (np.diff(rows["offset"].astype(np.float64)) < 0).any():
            raise CorruptSampleError(
                f"{self._storage.uri}: {self.manifest.index_name(own)}: expected rows that follow "
                f"each other in {own.num_bytes} bytes, got others; pack the layer again"
            )
        return rows

    def _read(
        self, own: LayerShard, video: _Video, index: Rows, run: Sequence[int]
    ) -> dict[int, Picture]:
        """Read the pictures of some rows by one request, until they are whole or two reads agree on what is bad."""
        name = self.manifest.tar_name(own)
        start = int(index["offset"][run[0]])
        stop = int(index["offset"][run[-1]]) + int(index["size"][run[-1]])
        before: dict[int, int] | None = None

        for _ in range(_MAX_READS):
            data = memoryview(read_range(self._storage, name, start, stop))
            pngs = {}
            bad = {}
            for row in run:
                at = int(index["offset"][row]) - start
                png = data[at : at + int(index["size"][row])]
                crc32 = zlib.crc32(png)
                if crc32 == index["crc32"][row]:
                    pngs[row] = png
                else:
                    bad[row] = crc32
            if not bad:
                return {row: self._decoded(name, video, row, png) for row, png in pngs.items()}
            if bad == before:
                break
            before = bad

        row, crc32 = next(iter(bad.items()))
        raise self._corrupt(
            name, video, row, f"expected CRC-32 {index['crc32'][row]:08x}, got {crc32:08x}"
        )

    def _decoded(self, name: str, video: _Video, row: int, png: memoryview) -> Picture:
        try:
            return from_png(png, video.size, self.manifest.bits)
        except ValueError as error:
            raise self._corrupt(name, video, row, str(error)) from None

    def _corrupt(self, name: str, video: _Video, row: int, reason: str) -> CorruptSampleError:
        part = bisect_right(video.first_rows, row) - 1
        frame = video.firsts[part] + row - video.first_rows[part]
        return CorruptSampleError(
            f"{self._storage.uri}: {name}: video {video.id}, frame {frame}: {reason}; run "
            "`surgstream verify`, then copy the layer again or pack it again"
        )


def open_layer(storage: Storage, name: str, corpus: str | None = None) -> Layer:
    """Open a layer of a corpus.

    Args:
        storage: The corpus.
        name: The layer, such as `mask`.
        corpus: SHA-256 of the manifest that frames are read by, as `FrameTable.sha256` has it; None for the one there.

    Returns:
        The layer.

    Raises:
        ManifestError: There is no such layer, its manifest is damaged, or it belongs to another version of the corpus.
        StorageError: The store cannot be read.
    """
    file = ManifestFile.load(storage)
    manifest = LayerManifest.load(storage, name)
    where = f"{storage.uri}: {layer_manifest_name(name)}"
    for expected in (file.sha256, corpus or file.sha256):
        if manifest.corpus != expected:
            raise ManifestError(
                f"{where}: expected a layer of the corpus {expected[:12]}, got one of "
                f"{manifest.corpus[:12]}; run `surgstream pack` again, or let it finish"
            )

    layer = Layer(storage, manifest, {shard.shard: shard for shard in manifest.shards})
    shards = {}
    for shard in file.shards():
        shards[shard.name] = shard
        for video in shard.videos:
            layer.add(shard.name, video)
    for problem in manifest.mismatches(shards):
        raise ManifestError(f"{where}: {problem}; run `surgstream pack` again")
    return layer


def _near(rows: Sequence[int], index: Rows) -> Iterator[list[int]]:
    """Cut ascending rows where their pictures lie far apart, and where one request would become large."""
    run: list[int] = []
    start = end = 0
    for row in rows:
        offset = int(index["offset"][row])
        stop = offset + int(index["size"][row])
        if run and (offset - end > GAP_BYTES or stop - start > RANGE_BYTES):
            yield run
            run = []
        if not run:
            start = offset
        run.append(row)
        end = stop
    if run:
        yield run
