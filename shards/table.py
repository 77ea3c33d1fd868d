"""The frame table: where each clip of a corpus lies. Memory grows with the number of videos, not of frames."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shards.errors import ManifestError
from shards.index import ROW
from shards.manifest import ManifestFile
from shards.packed import Shard
from shards.schema import index_name
from shards.segments import DatasetSize
from shards.storage import Storage

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Location:
    """A frame of a dataset, which is also the anchor of a clip.

    Attributes:
        dataset: The dataset.
        number: Its number in the dataset.
        video: Id of the video it belongs to.
        frame: Its number in the video.
        part_start: Number in the dataset of the first frame of its part; clips do not look back beyond it.
        width: Width of the video's frames in pixels.
        height: Their height in pixels.
    """

    dataset: str
    number: int
    video: str
    frame: int
    part_start: int
    width: int
    height: int


@dataclass(frozen=True)
class RowRange:
    """Rows [start, stop) of a shard's index; `shard` is the name of the tar, of `shard_bytes` bytes."""

    shard: str
    shard_bytes: int
    start: int
    stop: int

    @property
    def dataset(self) -> str:
        """The dataset of the shard."""
        return self.shard.partition("/")[0]

    @property
    def index(self) -> str:
        """The name of the index."""
        return index_name(self.shard)


@dataclass(frozen=True)
class _Dataset:
    """A dataset, and where its frames [start, stop) lie among those of the corpus."""

    specialty: str
    start: int
    stop: int
    num_bytes: int

    @property
    def num_frames(self) -> int:
        return self.stop - self.start


class FrameTable:
    """A packed corpus, seen as datasets of numbered frames.

    Frames of a dataset are numbered from 0 in the order of the manifest; clip c is the one whose anchor is frame c.
    Columns are kept, not objects: a corpus may have millions of videos, and every rank has a table.

    Attributes:
        storage: Where the corpus lies.
        sha256: SHA-256 of its manifest.
    """

    def __init__(self, storage: Storage, shards: Iterable[Shard], sha256: str) -> None:
        """Number the frames of a corpus.

        Args:
            storage: Where it lies.
            shards: As its manifest lists them.
            sha256: SHA-256 of the manifest.
        """
        self.storage = storage
        self.sha256 = sha256
        self._shards: list[str] = []
        self._videos: list[str] = []
        specialties: dict[str, str] = {}
        firsts: list[int] = []
        shard_bytes, shard_frames, widths, heights, part_videos, part_firsts, part_frames = (
            array("q") for _ in range(7)
        )
        for shard in shards:
            if shard.dataset not in specialties:
                specialties[shard.dataset] = shard.specialty
                firsts.append(len(self._shards))
            self._shards.append(shard.name)
            shard_bytes.append(shard.num_bytes)
            shard_frames.append(shard.num_frames)
            for video in shard.videos:
                for part in video.parts:
                    part_videos.append(len(self._videos))
                    part_firsts.append(part.first_frame)
                    part_frames.append(part.num_frames)
                self._videos.append(video.id)
                widths.append(video.width)
                heights.append(video.height)
        self._shard_bytes, self._shard_starts = np.array(shard_bytes), _starts(shard_frames)
        self._widths, self._heights = np.array(widths), np.array(heights)
        self._part_videos, self._part_firsts = np.array(part_videos), np.array(part_firsts)
        self._part_starts = _starts(part_frames)
        starts = self._shard_starts[[*firsts, len(self._shards)]].tolist()
        num_bytes = np.add.reduceat(self._shard_bytes, firsts).tolist()
        facts = zip(specialties.values(), starts[:-1], starts[1:], num_bytes, strict=True)
        self._datasets = dict(zip(specialties, (_Dataset(*fact) for fact in facts), strict=True))

    @staticmethod
    def open(storage: Storage, *, check: bool = True) -> "FrameTable":
        """Load the manifest of a corpus, and by default compare it with what lies beside it.

        Args:
            storage: The corpus.
            check: List the store and compare sizes; of many ranks one is enough.

        Returns:
            The table.

        Raises:
            ManifestError: The manifest is missing or wrong, or a shard or index is missing or has another size.
            StorageError: The store cannot be read.
        """
        manifest = ManifestFile.load(storage)
        table = FrameTable(storage, manifest.shards(), manifest.sha256)
        if check:
            table.check_sizes()
        return table

    def check_sizes(self) -> None:
        """Compare the sizes of all shards and indexes with the manifest.

        Raises:
            ManifestError: One of them is missing or has another size; the first in the manifest is named.
            StorageError: The store cannot be listed.
        """
        found = self.storage.sizes()
        for name, size in self._expected_sizes():
            if found.get(name) != size:
                got = f"got {found[name]}" if name in found else "it is missing"
                raise ManifestError(
                    f"{self.storage.uri}: {name}: expected {size} bytes by the manifest, {got}; "
                    "copy the corpus again, or run `surgstream pack` again"
                )

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The datasets, sorted by name."""
        return tuple(
            DatasetSize(name, dataset.specialty, dataset.num_frames) for name, dataset in sorted(self._datasets.items())
        )

    def mean_frame_bytes(self, dataset: str) -> float:
        """Bytes of a shard that a frame of the dataset takes on average, tar headers included."""
        return self._datasets[dataset].num_bytes / self._datasets[dataset].num_frames

    def locate(self, dataset: str, frame: int) -> Location:
        """Find frame number `frame` of a dataset; see `locate_all`."""
        return self.locate_all([dataset], [frame])[0]

    def locate_all(self, datasets: Sequence[str], frames: Sequence[int]) -> list[Location]:
        """Find many frames at once.

        Args:
            datasets: The dataset of each.
            frames: Its number in the dataset.

        Returns:
            Where each lies.

        Raises:
            IndexError: A dataset has no such frame.
        """
        found = [self._datasets[name] for name in datasets]
        for name, dataset, frame in zip(datasets, found, frames, strict=True):
            if not 0 <= frame < dataset.num_frames:
                raise IndexError(f"{name}: expected a frame in [0, {dataset.num_frames}), got {frame}")
        starts, numbers = np.array([dataset.start for dataset in found], np.int64), np.array(frames, np.int64)
        parts = np.searchsorted(self._part_starts, starts + numbers, side="right") - 1
        part_starts, videos = self._part_starts[parts] - starts, self._part_videos[parts]
        columns = (
            self._part_firsts[parts] + numbers - part_starts,
            part_starts,
            self._widths[videos],
            self._heights[videos],
        )
        ids = [self._videos[video] for video in videos.tolist()]
        return list(map(Location, datasets, frames, ids, *(column.tolist() for column in columns)))

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """Width and height in pixels of frames [start, stop) of a dataset."""
        numbers = np.arange(start, stop) + self._datasets[dataset].start
        parts = np.searchsorted(self._part_starts, numbers, side="right") - 1
        videos = self._part_videos[parts]
        return list(zip(self._widths[videos].tolist(), self._heights[videos].tolist(), strict=True))

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """The index rows of frames [start, stop) of a dataset: one range for each shard they lie in, in order."""
        offset = self._datasets[dataset].start
        start, stop = start + offset, stop + offset
        i = int(np.searchsorted(self._shard_starts, start, side="right")) - 1
        while start < stop:
            first, end = int(self._shard_starts[i]), min(stop, int(self._shard_starts[i + 1]))
            yield RowRange(self._shards[i], int(self._shard_bytes[i]), start - first, end - first)
            start, i = end, i + 1

    def _expected_sizes(self) -> Iterator[tuple[str, int]]:
        num_frames = np.diff(self._shard_starts).tolist()
        for name, num_bytes, frames in zip(self._shards, self._shard_bytes.tolist(), num_frames, strict=True):
            yield name, num_bytes
            yield index_name(name), frames * ROW.itemsize


def _starts(counts: "array[int]") -> Int64:
    """Where each run starts that follows the ones before it, and last where all of them end."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
