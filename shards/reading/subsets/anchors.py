"""Anchors: which frames of some videos clips end with, and where they are among the clips of the corpus."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import ShownPart
from surgstream.shards.reading.subsets.runs import Runs

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """The frames that clips end with, and how far apart the frames of a clip are.

    Attributes:
        frames: `all` that the table shows; the `last` of each video; or these, by dataset and video: numbers of frames
            in the video, such as labelled ones, best as `Runs`. Videos that are not in the subset may be among them.
        every: Of `all`, those alone whose number at the rate of the table is a multiple of this.
        stride: Frames of the table from one of a clip to the next, times the stride of the clip's shape, which is best
            left at 1 here. 0 repeats the anchor. `uniform`: the frames of the video // `spread`, and at least 1, so
            that `spread` frames that end with the last one lie all over the video.
        spread: Frames of a clip that is `uniform`.
    """

    frames: Literal["all", "last"] | Mapping[str, Mapping[str, Sequence[int] | Runs]] = "all"
    every: int = 1
    stride: int | Literal["uniform"] = 1
    spread: int = 16


class AnchorRun(NamedTuple):
    """Clips of a part of a video that are equally far from each other.

    Attributes:
        clips: Their numbers in the table.
        stride: Their stride; see `Anchors`.
        before: The frames that the table shows in the part before the first anchor.
    """

    clips: range
    stride: int
    before: int


def find_anchors(
    table: FrameTable, dataset: str, videos: set[str], anchors: Anchors
) -> tuple[list[AnchorRun], dict[str, int]]:
    """Find the clips that end with some frames.

    Args:
        table: The corpus.
        dataset: The dataset.
        videos: Ids of the videos to look in.
        anchors: The frames.

    Returns:
        runs: The clips in the order of the table.
        strides: The stride of each video.

    Raises:
        ConfigError: The dataset has no such video, a video shows no such frame, or there is no clip.
    """
    where = f"{table.storage.uri}: {dataset}"
    asked = {} if isinstance(anchors.frames, str) else anchors.frames.get(dataset, {})
    runs: list[AnchorRun] = []
    strides = {}
    # The parts of a video follow each other.
    for video, shown in groupby(table.parts(dataset), lambda part: part.video):
        if video in videos:
            parts = [part for part in shown if part.frames]
            strides[video] = _stride(parts, anchors)
            runs += [
                AnchorRun(clips, strides[video], before=clips.start - part.first_clip)
                for part, clips in _clips(parts, anchors, asked.get(video, ()), f"{where}: {video}")
                if clips
            ]

    unknown = sorted(videos - strides.keys())
    if unknown:
        ids = (part.video for part in table.parts(dataset))
        raise ConfigError(
            f"{where}: expected a video of the corpus, got {unknown[0]!r} "
            f"(of {len(unknown)} such){did_you_mean(unknown[0], ids)}"
        )
    if not runs:
        raise ConfigError(
            f"{where}: expected at least one clip, got none of {len(videos)} videos; "
            "choose videos that show one of the frames asked for"
        )
    return runs, strides


def _clips(
    parts: Sequence[ShownPart], anchors: Anchors, asked: Sequence[int] | Runs, where: str
) -> Iterator[tuple[ShownPart, range]]:
    """The clips of a video, part by part; of those that are asked for by number where anchors do not say which."""
    if anchors.frames == "all":
        for part in parts:
            yield part, _every(part, anchors.every)
    elif anchors.frames == "last":
        for part in parts[-1:]:
            end = part.first_clip + len(part.frames)
            yield part, range(end - 1, end)
    else:
        frames = asked.all() if isinstance(asked, Runs) else np.unique(np.array(asked, np.int64))
        yield from _ending_with(frames, parts, where)


def _ending_with(
    frames: Int64, parts: Sequence[ShownPart], where: str
) -> Iterator[tuple[ShownPart, range]]:
    """The clips that end with frames of a video, (n,) in growing order; a ConfigError where one is not shown."""
    is_shown = np.zeros(len(frames), bool)
    for part in parts:
        inside = slice(*np.searchsorted(frames, [part.frames.start, part.frames.stop]))
        into_part = frames[inside] - part.frames.start
        is_shown[inside] = into_part % part.frames.step == 0

        clips = part.first_clip + into_part[is_shown[inside]] // part.frames.step
        for run in Runs.of(clips).ranges():
            yield part, run

    missing = frames[~is_shown]
    if missing.size:
        raise ConfigError(
            f"{where}: expected frames that are packed and shown, got frame {missing[0]} (of "
            f"{missing.size} such); take frames at the rate of the corpus, or leave out those "
            "that are not packed"
        )


def _every(part: ShownPart, every: int) -> range:
    """The clips of a part whose anchors have a multiple of `every` as their number at the rate of the table."""
    first_number = part.frames.start // part.frames.step
    skipped = -first_number % every
    return range(part.first_clip + skipped, part.first_clip + len(part.frames), every)


def _stride(parts: Sequence[ShownPart], anchors: Anchors) -> int:
    """Frames of the table from one of a video's clips to the next."""
    if anchors.stride != "uniform":
        return anchors.stride
    num_frames = sum(len(part.frames) for part in parts)
    return max(1, num_frames // anchors.spread)
