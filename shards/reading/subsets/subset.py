"""Subsets: train, val and test as views of one packed corpus, each with clips of its own numbering."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import Location, RowRange, by_dataset
from surgstream.shards.reading.subsets.anchors import Anchors, find_anchors
from surgstream.shards.reading.subsets.runs import Runs
from surgstream.shards.storage.stores import Storage

Int64 = npt.NDArray[np.int64]

_NEAR_FRAMES = 64
"""Runs of frames that are no farther apart than this are read as one: another request would take longer."""


@dataclass(frozen=True, eq=False)
class _Dataset:
    """The clips of a dataset.

    Attributes:
        size: The dataset.
        numbers: The clips' numbers in the table, as runs that each lie in one part.
        strides: (R,), the stride of each run's anchors.
        before: (R,), the frames that the table shows before the first anchor of each run in its part.
        mean_stride: The mean stride of the videos.
    """

    size: DatasetSize
    numbers: Runs
    strides: Int64
    before: Int64
    mean_stride: float


class Subset:
    """The clips of some videos of a corpus that end with some of their frames: a `SizedTable`, as the corpus is.

    Clips of a dataset are numbered from 0 in the order of the corpus. Their numbers in the table are kept as runs, so
    memory grows with the parts of the videos and with the breaks between the anchors in them, not with the clips;
    frames keep the numbers that they have in the table. What is before an anchor in its part is context, whether it is
    an anchor or not.

    A chunk of n clips has the frames of all of them: where clips are long or lie far apart, read few together.

    Attributes:
        sha256: Its identity, for resumes and audits, which go by dataset and number of a clip: SHA-256 of the
            manifest's, of the rate at which frames are shown, and of the anchors and strides in each dataset. Where it
            is the same, so is every clip of every order.
    """

    def __init__(
        self, table: FrameTable, videos: Mapping[str, Iterable[str]], anchors: Anchors
    ) -> None:
        """Choose the clips.

        Args:
            table: The corpus.
            videos: Ids of the videos to take, by dataset.
            anchors: Which of their frames clips end with.

        Raises:
            ConfigError: The corpus has no such dataset or video, a video shows no such frame, or no clip is left.
        """
        self._table = table
        known = {size.name: size for size in table.sizes()}
        hashed = hashlib.sha256(table.sha256.encode())

        self._datasets: dict[str, _Dataset] = {}
        for dataset in sorted(videos):
            if dataset not in known:
                raise ConfigError(
                    f"{table.storage.uri}: expected a dataset of the corpus, got {dataset!r}"
                    f"{did_you_mean(dataset, known)}"
                )
            runs, strides = find_anchors(table, dataset, set(videos[dataset]), anchors)
            numbers = Runs.of_ranges(run.clips for run in runs)
            self._datasets[dataset] = _Dataset(
                size=replace(known[dataset], num_clips=len(numbers)),
                numbers=numbers,
                strides=np.array([run.stride for run in runs], np.int64),
                before=np.array([run.before for run in runs], np.int64),
                mean_stride=float(np.mean(list(strides.values()))),
            )

            hashed.update(
                repr((dataset, table.frames_apart(dataset), sorted(strides.items()))).encode()
            )
            for block in numbers.blocks():
                hashed.update(np.asarray(block, "<i8").data)

        self.sha256 = hashed.hexdigest()
        self._frames_a_clip = cache(self._mean_frames)

    @property
    def storage(self) -> Storage:
        """Where the corpus lies."""
        return self._table.storage

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The datasets, sorted by name."""
        return tuple(dataset.size for dataset in self._datasets.values())

    def locate(self, dataset: str, clip: int) -> Location:
        """Find clip number `clip` of a dataset; see `locate_all`."""
        return self.locate_all([dataset], [clip])[0]

    def locate_all(self, datasets: Sequence[str], clips: Sequence[int]) -> list[Location]:
        """Find many clips at once, each with the stride of its anchor; see `ClipTable`."""
        asked = np.array(clips, np.int64)
        numbers = np.empty_like(asked)
        strides = np.empty_like(asked)
        for dataset, members in by_dataset(datasets).items():
            numbers[members], strides[members] = self._find(dataset, asked[members])

        found = self._table.locate_all(datasets, numbers.tolist())
        return [
            replace(place, clip=clip, apart=place.apart * stride)
            for place, clip, stride in zip(found, clips, strides.tolist(), strict=True)
        ]

    def spans(self, dataset: str, first_clip: int, num_clips: int, look_back: int) -> list[range]:
        """See `ClipTable`: what clips show, without what lies between those that are far from each other."""
        clips = range(first_clip, first_clip + num_clips)
        spans: list[range] = []
        for place in self.locate_all([dataset] * num_clips, clips):
            start = max(place.part_start, place.number - look_back * place.apart)
            stop = place.number + 1

            if spans and start <= spans[-1].stop + _NEAR_FRAMES:
                spans[-1] = range(spans[-1].start, stop)
            else:
                spans.append(range(start, stop))
        return spans

    def chunk_bytes(self, dataset: str, num_clips: int, look_back: int) -> float:
        """See `ClipTable`: by the frames that a clip of the dataset takes on average."""
        first = look_back * self._datasets[dataset].mean_stride
        num_frames = first + num_clips * self._frames_a_clip(dataset, look_back)
        return num_frames * self._table.mean_clip_bytes(dataset)

    def video_frame(self, dataset: str, number: int) -> tuple[str, int]:
        """See `ClipTable`."""
        return self._table.video_frame(dataset, number)

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """See `ClipTable`."""
        return self._table.picture_sizes(dataset, start, stop)

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """See `ClipTable`."""
        return self._table.rows(dataset, start, stop)

    def clips_cut_short(self, dataset: str, look_back: int) -> int:
        """See `SizedTable`; a clip looks back as many of its own strides."""
        found = self._datasets[dataset]
        lacking = look_back * found.strides - found.before
        cut_short = -(-lacking // found.numbers.steps)
        return int(cut_short.clip(0, found.numbers.counts).sum())

    def frames_apart(self, dataset: str) -> list[int]:
        """See `SizedTable`."""
        return self._table.frames_apart(dataset)

    def _find(self, dataset: str, clips: Int64) -> tuple[Int64, Int64]:
        """The numbers in the table of some clips, and the strides of their anchors."""
        found = self._datasets[dataset]
        num_clips = found.size.num_clips
        outside = (clips < 0) | (clips >= num_clips)
        if outside.any():
            got = clips[outside][0]
            raise IndexError(f"{dataset}: expected a clip in [0, {num_clips}), got {got}")
        return found.numbers.at(clips), found.strides[found.numbers.run_of(clips)]

    def _mean_frames(self, dataset: str, look_back: int) -> float:
        """Frames of the table that are read for a clip that comes after others: the gap before it, if that is less."""
        found = self._datasets[dataset]
        numbers = found.numbers
        alone = look_back * found.mean_stride + 1

        # The gap before the first clip of each run, then those within the runs; before the very first there is none.
        lasts = numbers.firsts + (numbers.counts - 1) * numbers.steps
        between = numbers.firsts - np.concatenate([[numbers.firsts[0] - 1], lasts[:-1]])
        gaps = np.concatenate([between, numbers.steps])
        weights = np.concatenate([np.ones_like(between), numbers.counts - 1])

        frames = np.where(gaps <= alone + _NEAR_FRAMES, gaps, alone)
        return float(np.average(frames, weights=weights))
