"""The frame table: the place of each clip of a corpus. Memory grows with the number of videos, not of frames."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import index_name
from surgstream.shards.format.records import Shard
from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.reading.columns import Chosen, Columns
from surgstream.shards.reading.locations import Location, RowRange, ShownPart
from surgstream.shards.storage.stores import Storage

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Dataset:
    """A dataset, and its parts [first_part, end_part), frames [start, ...) and clips among those of the corpus.

    It is of `stills` where all of it is still images, which look back nowhere.
    """

    specialty: str
    num_bytes: int
    stills: bool
    first_part: int
    end_part: int
    start: int
    first_clip: int
    num_clips: int


class FrameTable:
    """A packed corpus, seen as datasets of numbered frames, and of the clips that a run at some rate cuts from them.

    Frames of a dataset are numbered from 0 in the order of the manifest. The anchor of clip c is frame c, or, at a rate
    below the packed one, the c-th of the frames that `shards.format.rates` picks. Columns are kept, not objects: a
    corpus may have millions of videos, and every rank has a table.

    Attributes:
        storage: Where the corpus lies.
        sha256: SHA-256 of its manifest, and, where some datasets are left out, of the names of the others.
    """

    def __init__(
        self,
        storage: Storage,
        shards: Iterable[Shard],
        sha256: str,
        fps: float | None = None,
        datasets: Chosen = None,
    ) -> None:
        """Number the frames of a corpus.

        Args:
            storage: Where it lies.
            shards: As its manifest lists them.
            sha256: SHA-256 of the manifest.
            fps: Frames a second that clips are cut at; None takes every packed frame.
            datasets: Those to take.

        Raises:
            ConfigError: There is no such dataset, or a video was packed at another rate, at no whole multiple of it.
        """
        self.storage = storage
        columns = Columns.collect(shards, fps, datasets, where=storage.uri)
        self.sha256 = columns.identity(sha256)

        self._shards = columns.shards
        self._shard_bytes = np.array(columns.shard_bytes)
        self._shard_starts = _starts(columns.shard_frames)
        self._videos = columns.videos
        self._widths = np.array(columns.widths)
        self._heights = np.array(columns.heights)
        self._fps = np.array(columns.fps)
        self._apart = np.array(columns.apart)
        self._part_videos = np.array(columns.part_videos)
        self._part_firsts = np.array(columns.part_firsts)
        self._part_starts = _starts(columns.part_frames)

        # From one clip to the next: each still image is one.
        self._steps = np.maximum(1, self._apart)
        steps = self._steps[self._part_videos]
        self._part_skips = -self._part_firsts % steps  # frames before the first that is shown
        # Frames that each part shows: every `steps`-th after those it skips, rounded up.
        after_skips = np.maximum(0, np.array(columns.part_frames) - self._part_skips)
        self._clip_starts = _starts(-(-after_skips // steps))

        self._datasets = self._divide(columns)

    def _divide(self, columns: Columns) -> dict[str, _Dataset]:
        """The datasets by name."""
        num_bytes = np.add.reduceat(self._shard_bytes, columns.first_shards).tolist()
        end_parts = [*columns.first_parts[1:], len(columns.part_videos)]

        datasets = {}
        for i, (name, specialty) in enumerate(columns.specialties.items()):
            first = columns.first_parts[i]
            end = end_parts[i]
            first_clip = int(self._clip_starts[first])
            datasets[name] = _Dataset(
                specialty=specialty,
                num_bytes=num_bytes[i],
                stills=not self._apart[self._part_videos[first:end]].any(),
                first_part=first,
                end_part=end,
                start=int(self._part_starts[first]),
                first_clip=first_clip,
                num_clips=int(self._clip_starts[end]) - first_clip,
            )
        return datasets

    @staticmethod
    def open(
        storage: Storage, *, fps: float | None = None, check: bool = True, datasets: Chosen = None
    ) -> "FrameTable":
        """Load the manifest of a corpus, and by default compare it with the files of the corpus.

        Args:
            storage: The corpus.
            fps: Frames a second that clips are cut at; None takes every packed frame.
            check: List the store and compare sizes; of many ranks one is enough.
            datasets: Those to take.

        Returns:
            The table.

        Raises:
            ManifestError: The manifest is missing or wrong, or a shard or index is missing or has another size.
            ConfigError: There is no such dataset, or a video was packed at another rate, at no whole multiple of it.
            StorageError: The store cannot be read.
        """
        manifest = ManifestFile.load(storage)
        table = FrameTable(storage, manifest.shards(), manifest.sha256, fps, datasets)
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
            DatasetSize(name, dataset.specialty, dataset.num_clips, dataset.stills)
            for name, dataset in sorted(self._datasets.items())
        )

    def mean_clip_bytes(self, dataset: str) -> float:
        """Bytes that the shards of a dataset hold for each clip: its anchor, and what is not shown after it."""
        found = self._datasets[dataset]
        return found.num_bytes / found.num_clips

    def chunk_bytes(self, dataset: str, num_clips: int, look_back: int) -> float:
        """See `ClipTable`."""
        reach = 0 if self._datasets[dataset].stills else look_back
        return (num_clips + reach) * self.mean_clip_bytes(dataset)

    def parts(self, dataset: str) -> Iterator[ShownPart]:
        """The parts of a dataset's videos, in order."""
        found = self._datasets[dataset]
        for part in range(found.first_part, found.end_part):
            video = self._part_videos[part]
            step = int(self._steps[video])
            first_clip, end_clip = self._clip_starts[part : part + 2].tolist()
            first = int(self._part_firsts[part] + self._part_skips[part])
            frames = range(first, first + (end_clip - first_clip) * step, step)
            yield ShownPart(
                video=self._videos[video],
                first_clip=first_clip - found.first_clip,
                frames=frames,
                fps=float(self._fps[video]),
            )

    def part_frames(self, dataset: str) -> Int64:
        """Frames that each part of a dataset shows, each the anchor of a clip: (num,)."""
        found = self._datasets[dataset]
        return np.diff(self._clip_starts[found.first_part : found.end_part + 1])

    def clips_cut_short(self, dataset: str, look_back: int) -> int:
        """See `SizedTable`."""
        reach = 0 if self._datasets[dataset].stills else look_back
        return int(np.minimum(self.part_frames(dataset), reach).sum())

    def frames_apart(self, dataset: str) -> list[int]:
        """See `SizedTable`."""
        found = self._datasets[dataset]
        videos = self._part_videos[found.first_part : found.end_part]
        return [int(apart) for apart in np.unique(self._apart[videos])]

    def locate(self, dataset: str, clip: int) -> Location:
        """Find clip number `clip` of a dataset; see `locate_all`."""
        return self.locate_all([dataset], [clip])[0]

    def locate_all(self, datasets: Sequence[str], clips: Sequence[int]) -> list[Location]:
        """Find many clips at once; see `ClipTable`."""
        found = [self._datasets[name] for name in datasets]
        for name, dataset, clip in zip(datasets, found, clips, strict=True):
            if not 0 <= clip < dataset.num_clips:
                raise IndexError(f"{name}: expected a clip in [0, {dataset.num_clips}), got {clip}")

        starts = np.array([dataset.start for dataset in found], np.int64)
        first_clips = np.array([dataset.first_clip for dataset in found], np.int64)
        numbers = first_clips + np.array(clips, np.int64)
        # The last part that starts at or before the clip: those without clips start with the next.
        parts = np.searchsorted(self._clip_starts, numbers, side="right") - 1
        videos = self._part_videos[parts]
        apart = self._apart[videos]
        skips = self._part_skips[parts]
        part_starts = self._part_starts[parts] - starts
        # Packed frames from the start of the part to the anchor, (num_clips,).
        into_part = skips + (numbers - self._clip_starts[parts]) * self._steps[videos]

        # In the order of the fields of `Location`.
        return list(
            map(
                Location,
                datasets,
                clips,
                (part_starts + into_part).tolist(),
                [self._videos[video] for video in videos.tolist()],
                (self._part_firsts[parts] + into_part).tolist(),
                (part_starts + skips).tolist(),
                apart.tolist(),
                self._widths[videos].tolist(),
                self._heights[videos].tolist(),
            )
        )

    def spans(self, dataset: str, first_clip: int, num_clips: int, look_back: int) -> list[range]:
        """See `ClipTable`: one run, as look-back ends where a part begins."""
        first, last = self.locate_all([dataset] * 2, [first_clip, first_clip + num_clips - 1])
        start = max(first.part_start, first.number - look_back * first.apart)
        return [range(start, last.number + 1)]

    def video_frame(self, dataset: str, number: int) -> tuple[str, int]:
        """The video that packed frame `number` of a dataset, shown or not, belongs to, and its number there."""
        number += self._datasets[dataset].start
        part = int(np.searchsorted(self._part_starts, number, side="right")) - 1
        frame = self._part_firsts[part] + number - self._part_starts[part]
        return self._videos[self._part_videos[part]], int(frame)

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """Width and height in pixels of frames [start, stop) of a dataset."""
        numbers = np.arange(start, stop) + self._datasets[dataset].start
        parts = np.searchsorted(self._part_starts, numbers, side="right") - 1
        videos = self._part_videos[parts]
        widths = self._widths[videos].tolist()
        heights = self._heights[videos].tolist()
        return list(zip(widths, heights, strict=True))

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """The index rows of frames [start, stop) of a dataset: one range for each shard they lie in, in order."""
        offset = self._datasets[dataset].start
        start += offset
        stop += offset
        i = int(np.searchsorted(self._shard_starts, start, side="right")) - 1
        while start < stop:
            first = int(self._shard_starts[i])
            end = min(stop, int(self._shard_starts[i + 1]))
            num_bytes = int(self._shard_bytes[i])
            yield RowRange(self._shards[i], num_bytes, start - first, end - first)
            start = end
            i += 1

    def _expected_sizes(self) -> Iterator[tuple[str, int]]:
        num_bytes = self._shard_bytes.tolist()
        num_frames = np.diff(self._shard_starts).tolist()
        for name, size, frames in zip(self._shards, num_bytes, num_frames, strict=True):
            yield name, size
            yield index_name(name), frames * ROW.itemsize


def _starts(counts: "array[int] | Int64") -> Int64:
    """The start of each of several runs that follow each other, and the end of the last one."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
