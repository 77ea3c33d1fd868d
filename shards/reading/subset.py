"""Subsets: train, val and test as views of one packed corpus, each with clips of its own numbering."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import Location, RowRange, ShownPart
from surgstream.shards.storage.stores import Storage

Int64 = npt.NDArray[np.int64]

_NEAR_FRAMES = 64
"""Runs of frames that are no farther apart than this are read as one: another request would take longer."""


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """The frames that clips end with, and how far apart the frames of a clip are.

    Attributes:
        frames: `all` that the table shows; the `last` of each video; or these, by dataset and video: numbers of frames
            in the video, such as labelled ones. Videos that are not in the subset may be among them.
        every: Of `all`, those alone whose number at the rate of the table is a multiple of this.
        stride: Frames of the table from one of a clip to the next, times the stride of the clip's shape, which is best
            left at 1 here. 0 repeats the anchor. `uniform`: the frames of the video // `spread`, and at least 1, so
            that `spread` frames that end with the last one lie all over the video.
        spread: Frames of a clip that is `uniform`.
    """

    frames: Literal["all", "last"] | Mapping[str, Mapping[str, Sequence[int]]] = "all"
    every: int = 1
    stride: int | Literal["uniform"] = 1
    spread: int = 16


class Subset:
    """The clips of some videos of a corpus that end with some of their frames: a `ClipTable`, as the corpus is.

    Clips of a dataset are numbered from 0 in the order of the corpus. A sorted array for each dataset, of 8 bytes a
    clip, has their numbers in the table; frames keep the numbers that they have there. What is before an anchor in its
    part is context, whether it is an anchor or not.

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
        self._clips: dict[str, Int64] = {}
        self._strides: dict[str, dict[str, int]] = {}
        specialties = {size.name: size.specialty for size in table.sizes()}

        sizes = []
        for dataset in sorted(videos):
            if dataset not in specialties:
                raise ConfigError(
                    f"{table.storage.uri}: expected a dataset of the corpus, got {dataset!r}"
                    f"{did_you_mean(dataset, specialties)}"
                )
            self._choose(dataset, set(videos[dataset]), anchors)
            num_clips = len(self._clips[dataset])
            sizes.append(DatasetSize(dataset, specialties[dataset], num_clips))

        self._sizes = tuple(sizes)
        self.sha256 = self._identity()
        self._frames_a_clip = cache(self._mean_frames)

    @property
    def storage(self) -> Storage:
        """Where the corpus lies."""
        return self._table.storage

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The datasets, sorted by name."""
        return self._sizes

    def locate(self, dataset: str, clip: int) -> Location:
        """Find clip number `clip` of a dataset; see `locate_all`."""
        return self.locate_all([dataset], [clip])[0]

    def locate_all(self, datasets: Sequence[str], clips: Sequence[int]) -> list[Location]:
        """Find many clips at once, each with the stride of its anchor; see `ClipTable`."""
        numbers = [
            self._number(dataset, clip) for dataset, clip in zip(datasets, clips, strict=True)
        ]
        found = self._table.locate_all(datasets, numbers)

        places = []
        for clip, place in zip(clips, found, strict=True):
            apart = place.apart * self._strides[place.dataset][place.video]
            places.append(replace(place, clip=clip, apart=apart))
        return places

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
        first = look_back * self._mean_stride(dataset)
        num_frames = first + num_clips * self._frames_a_clip(dataset, look_back)
        return num_frames * self._table.mean_clip_bytes(dataset)

    def video_frame(self, dataset: str, number: int) -> tuple[str, int]:
        """See `ClipTable`."""
        return self._table.video_frame(dataset, number)

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """See `ClipTable`."""
        return self._table.picture_sizes(dataset, start, stop)

    def part_frames(self, dataset: str) -> Int64:
        """See `SizedTable`: of the videos that are in the subset."""
        parts = self._table.parts(dataset)
        chosen = [len(part.frames) for part in parts if part.video in self._strides[dataset]]
        return np.array(chosen, np.int64)

    def frames_apart(self, dataset: str) -> list[int]:
        """See `SizedTable`."""
        return self._table.frames_apart(dataset)

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """See `ClipTable`."""
        return self._table.rows(dataset, start, stop)

    def _number(self, dataset: str, clip: int) -> int:
        """The number in the table of a clip."""
        numbers = self._clips[dataset]
        if not 0 <= clip < len(numbers):
            raise IndexError(f"{dataset}: expected a clip in [0, {len(numbers)}), got {clip}")
        return int(numbers[clip])

    def _choose(self, dataset: str, videos: set[str], anchors: Anchors) -> None:
        """Find the anchors of a dataset, and the stride of each of its videos."""
        chosen = []
        strides = {}
        # The parts of a video follow each other.
        for video, shown in groupby(self._table.parts(dataset), lambda part: part.video):
            if video not in videos:
                continue
            parts = list(shown)
            chosen.append(self._anchors(dataset, parts, anchors))
            strides[video] = _stride(parts, anchors)

        where = f"{self._table.storage.uri}: {dataset}"
        unknown = sorted(videos - strides.keys())
        if unknown:
            ids = (part.video for part in self._table.parts(dataset))
            raise ConfigError(
                f"{where}: expected a video of the corpus, got {unknown[0]!r} "
                f"(of {len(unknown)} such){did_you_mean(unknown[0], ids)}"
            )

        clips = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
        if not clips.size:
            raise ConfigError(
                f"{where}: expected at least one clip, got none of {len(videos)} videos; "
                "choose videos that show one of the frames asked for"
            )
        self._clips[dataset] = clips
        self._strides[dataset] = strides

    def _anchors(self, dataset: str, parts: Sequence[ShownPart], anchors: Anchors) -> Int64:
        """The numbers in the table of the clips of a video, sorted."""
        if anchors.frames == "all":
            return np.concatenate([_every(part, anchors.every) for part in parts])
        if anchors.frames == "last":
            ends = [part.first_clip + len(part.frames) for part in parts if part.frames]
            return np.array(ends[-1:], np.int64) - 1

        video = parts[0].video
        asked = set(anchors.frames.get(dataset, {}).get(video, ()))
        found = {}
        for part in parts:
            for frame in asked:
                if frame in part.frames:
                    found[frame] = part.first_clip + part.frames.index(frame)

        missing = sorted(asked - found.keys())
        if missing:
            raise ConfigError(
                f"{self._table.storage.uri}: {dataset}: {video}: expected frames that are packed "
                f"and shown, got frame {missing[0]} (of {len(missing)} such); take frames at the "
                "rate of the corpus, or leave out those that are not packed"
            )
        return np.array(sorted(found.values()), np.int64)

    def _mean_stride(self, dataset: str) -> float:
        return float(np.mean(list(self._strides[dataset].values())))

    def _mean_frames(self, dataset: str, look_back: int) -> float:
        """Frames of the table that are read for a clip that comes after others: the gap before it, if that is less."""
        alone = look_back * self._mean_stride(dataset) + 1
        gaps = np.diff(self._clips[dataset], prepend=self._clips[dataset][0] - 1)
        return float(np.where(gaps <= alone + _NEAR_FRAMES, gaps, alone).mean())

    def _identity(self) -> str:
        hashed = hashlib.sha256(self._table.sha256.encode())
        for dataset, clips in self._clips.items():
            aparts = self._table.frames_apart(dataset)
            strides = sorted(self._strides[dataset].items())
            hashed.update(repr((dataset, aparts, strides)).encode())
            hashed.update(np.asarray(clips, "<i8").data)
        return hashed.hexdigest()


def _every(part: ShownPart, every: int) -> Int64:
    """The clips of a part whose anchors have a multiple of `every` as their number at the rate of the table."""
    first_number = part.frames.start // part.frames.step
    skipped = -first_number % every
    return part.first_clip + np.arange(skipped, len(part.frames), every, dtype=np.int64)


def _stride(parts: Sequence[ShownPart], anchors: Anchors) -> int:
    """Frames of the table from one of a video's clips to the next."""
    if anchors.stride != "uniform":
        return anchors.stride
    num_frames = sum(len(part.frames) for part in parts)
    return max(1, num_frames // anchors.spread)
