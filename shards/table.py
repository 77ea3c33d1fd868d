"""The frame table: where each clip of a corpus lies. Memory grows with the number of videos, not of frames."""

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from shards.errors import ManifestError
from shards.index import ROW
from shards.manifest import Manifest, PackedVideo, Part, Shard
from shards.segments import DatasetSize
from shards.storage import Storage

_CHECK_THREADS = 16


@dataclass(frozen=True)
class Location:
    """A frame of a dataset, which is also the anchor of a clip.

    Attributes:
        video: The video it belongs to.
        frame: Its number in the video.
        part_start: Number in the dataset of the first frame of its part; clips do not look back beyond it.
    """

    video: PackedVideo
    frame: int
    part_start: int


@dataclass(frozen=True)
class RowRange:
    """Rows [start, stop) of a shard's index."""

    shard: Shard
    start: int
    stop: int


@dataclass(frozen=True)
class _Frames:
    """The frames of one dataset, numbered through all its shards: parts and shards with the number each starts at."""

    specialty: str
    parts: list[tuple[PackedVideo, Part]] = field(default_factory=list)
    part_starts: list[int] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    shard_starts: list[int] = field(default_factory=lambda: [0])

    def append(self, shard: Shard) -> None:
        start = self.shard_starts[-1]
        for video in shard.videos:
            for part in video.parts:
                self.parts.append((video, part))
                self.part_starts.append(start)
                start += part.num_frames
        self.shards.append(shard)
        self.shard_starts.append(start)

    @property
    def num_frames(self) -> int:
        return self.shard_starts[-1]


class FrameTable:
    """A packed corpus, seen as datasets of numbered frames.

    Frames of a dataset are numbered from 0 in the order of the manifest; clip c is the one whose anchor is frame c.

    Attributes:
        storage: Where the corpus lies.
        manifest: Its manifest.
    """

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        """Number the frames of a corpus.

        Raises:
            ManifestError: A dataset has shards of different specialties.
        """
        self.storage = storage
        self.manifest = manifest
        self._datasets: dict[str, _Frames] = {}
        for shard in manifest.shards:
            frames = self._datasets.setdefault(shard.dataset, _Frames(shard.specialty))
            if shard.specialty != frames.specialty:
                raise ManifestError(
                    f"{storage.uri}: {shard.name}: expected specialty {frames.specialty!r}, as in the other shards of "
                    f"its dataset, got {shard.specialty!r}; pack them again, or under different dataset names"
                )
            frames.append(shard)

    @staticmethod
    def open(storage: Storage, *, check: bool = True) -> "FrameTable":
        """Load the manifest of a corpus, and by default compare it with what lies beside it.

        Args:
            storage: The corpus.
            check: Ask for the size of every shard and index, which takes two requests a shard; of many ranks one
                is enough.

        Returns:
            The table.

        Raises:
            ManifestError: The manifest is missing or wrong, or a shard or index is missing or has another size.
            StorageError: The store cannot be read.
        """
        table = FrameTable(storage, Manifest.load(storage))
        if check:
            table.check_sizes()
        return table

    def check_sizes(self) -> None:
        """Compare the sizes of all shards and indexes with the manifest.

        Raises:
            ManifestError: One of them is missing or has another size; the first in the manifest is named.
            StorageError: The store cannot be read.
        """
        expected = dict(_expected_sizes(self.manifest))
        with ThreadPoolExecutor(_CHECK_THREADS, thread_name_prefix="check-sizes") as pool:
            for (name, size), found in zip(expected.items(), pool.map(self.storage.size, expected), strict=True):
                if found != size:
                    got = "it is missing" if found is None else f"got {found}"
                    raise ManifestError(
                        f"{self.storage.uri}: {name}: expected {size} bytes by the manifest, {got}; "
                        "copy the corpus again, or run `surgstream pack` again"
                    )

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The datasets, sorted by name."""
        return tuple(
            DatasetSize(name, frames.specialty, frames.num_frames) for name, frames in sorted(self._datasets.items())
        )

    def mean_frame_bytes(self, dataset: str) -> float:
        """Bytes of a shard that a frame of the dataset takes on average, tar headers included."""
        frames = self._datasets[dataset]
        return sum(shard.num_bytes for shard in frames.shards) / frames.num_frames

    def locate(self, dataset: str, frame: int) -> Location:
        """Find frame number `frame` of a dataset.

        Raises:
            IndexError: The dataset has no such frame.
        """
        frames = self._datasets[dataset]
        if not 0 <= frame < frames.num_frames:
            raise IndexError(f"{dataset}: expected a frame in [0, {frames.num_frames}), got {frame}")
        i = bisect_right(frames.part_starts, frame) - 1
        video, part = frames.parts[i]
        start = frames.part_starts[i]
        return Location(video=video, frame=part.first_frame + frame - start, part_start=start)

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """The index rows of frames [start, stop) of a dataset: one range for each shard they lie in, in order."""
        frames = self._datasets[dataset]
        i = bisect_right(frames.shard_starts, start) - 1
        while start < stop:
            first, end = frames.shard_starts[i], min(stop, frames.shard_starts[i + 1])
            yield RowRange(frames.shards[i], start - first, end - first)
            start, i = end, i + 1


def _expected_sizes(manifest: Manifest) -> Iterator[tuple[str, int]]:
    for shard in manifest.shards:
        yield shard.name, shard.num_bytes
        yield shard.index_name, shard.num_frames * ROW.itemsize
