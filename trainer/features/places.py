"""Where frames lie in the indexes of their shards, and which frames features are asked of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.labelled.clips import TaskClips

Int64 = npt.NDArray[np.int64]

Asked = Mapping[str, Mapping[str, Int64]]
"""The numbers of frames in their videos, sorted, by dataset and video."""


@dataclass(frozen=True)
class _Part:
    """A part of a video: its shown frames [first, stop), and the index row of the first of them."""

    first: int
    stop: int
    row: int


class IndexRows:
    """The rows of frames in the indexes of their shards.

    Args:
        table: The corpus.
    """

    def __init__(self, table: FrameTable) -> None:
        self._table = table
        self._parts = cache(self._parts_of)

    def shard_of(self, dataset: str, video: str) -> str:
        """The name of the tar that a video lies in.

        Raises:
            ConfigError: The corpus has no such dataset or video.
        """
        return self._of(dataset, video)[0]

    def of(self, dataset: str, video: str, frames: Int64) -> Int64:
        """The rows of frames, by their numbers in the video: (n,).

        Raises:
            ConfigError: The corpus has no such dataset or video.
            FeatureError: A frame is not packed.
        """
        _, parts = self._of(dataset, video)
        firsts = np.array([part.first for part in parts])
        stops = np.array([part.stop for part in parts])
        rows = np.array([part.row for part in parts])

        found = np.searchsorted(firsts, frames, side="right") - 1
        is_packed = (found >= 0) & (frames < stops[found])
        if not is_packed.all():
            missing = frames[~is_packed][0]
            raise FeatureError(
                f"{self._table.storage.uri}: {dataset}: {video}: expected frames that are packed, "
                f"got frame {missing}"
            )
        found_rows: Int64 = rows[found] + frames - firsts[found]
        return found_rows

    def _of(self, dataset: str, video: str) -> tuple[str, list[_Part]]:
        where = self._table.storage.uri
        datasets = [size.name for size in self._table.sizes()]
        if dataset not in datasets:
            hint = did_you_mean(dataset, datasets)
            raise ConfigError(f"{where}: expected a dataset of the corpus, got {dataset!r}{hint}")

        videos = self._parts(dataset)
        if video not in videos:
            hint = did_you_mean(video, videos)
            raise ConfigError(
                f"{where}: {dataset}: expected a video of the corpus, got {video!r}{hint}"
            )
        return videos[video]

    def _parts_of(self, dataset: str) -> dict[str, tuple[str, list[_Part]]]:
        """The shard and the parts of each video that shows a frame."""
        shown = [part for part in self._table.parts(dataset) if part.frames]
        clips = [part.first_clip for part in shown]
        anchors = self._table.locate_all([dataset] * len(clips), clips)

        videos: dict[str, tuple[str, list[_Part]]] = {}
        for part, anchor in zip(shown, anchors, strict=True):
            # A video lies in one shard, whole.
            (rows,) = self._table.rows(dataset, anchor.number, anchor.number + 1)
            _, parts = videos.setdefault(part.video, (rows.shard, []))
            parts.append(_Part(part.frames.start, part.frames[-1] + 1, rows.start))
        return videos


def frames_of_task(task: TaskClips, splits: Sequence[str]) -> Asked:
    """The frames that end the clips of a task's labelled rows in some splits."""
    frames = {}
    for name in splits:
        split = task.split(name)
        for video in split.videos:
            frames[video] = np.unique(split.rows(video).anchors)
    return {task.config.dataset: frames}


def frames_at(
    table: FrameTable, rows_per_second: float | None, datasets: Sequence[str] | None
) -> Asked:
    """Frames of all videos at a rate.

    Args:
        table: The corpus.
        rows_per_second: The rate; None takes every frame that the table shows.
        datasets: Datasets to take; None takes all.

    Raises:
        ConfigError: A dataset is unknown, or was packed at no whole multiple of the rate.
    """
    known = [size.name for size in table.sizes()]
    for name in datasets or ():
        if name not in known:
            raise ConfigError(
                f"datasets: expected some of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
            )

    sparse = table
    if rows_per_second is not None:
        sparse = FrameTable.open(table.storage, fps=rows_per_second, check=False)
    return {name: _shown(sparse, name) for name in known if datasets is None or name in datasets}


def _shown(table: FrameTable, dataset: str) -> dict[str, Int64]:
    videos = {}
    for video, parts in groupby(table.parts(dataset), lambda part: part.video):
        frames = np.concatenate([np.array(part.frames, np.int64) for part in parts])
        if frames.size:
            videos[video] = frames
    return videos


def by_shard(asked: Asked, rows: IndexRows) -> Iterator[tuple[str, Asked]]:
    """Part what is asked by the shards that it lies in, by name.

    Yields:
        A shard's name, and what is asked of it.
    """
    for dataset in sorted(asked):
        shards: dict[str, dict[str, Int64]] = {}
        for video, frames in asked[dataset].items():
            if frames.size:
                shards.setdefault(rows.shard_of(dataset, video), {})[video] = frames
        for shard in sorted(shards):
            yield shard, {dataset: shards[shard]}
