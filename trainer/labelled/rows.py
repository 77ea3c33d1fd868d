"""The labelled rows of a task's videos, the clips that each is predicted from, and what is true of a clip."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.timeline import Labels, TrueRows, change_places
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.labelled.shown import ShownFrames

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AskedRows:
    """The labelled rows of a video that a corpus has a frame for.

    Attributes:
        true: The n rows.
        anchors: (n, S), for each row the numbers in the video of the last frames of its S clips.
        is_whole: (n,) bool; false where the clip should end later than its part does, which happens where its label is
            not that of its last frame. Such a row is predicted from the last clip of the part. Training draws no clip
            for it; readouts of features learn it from that clip.
    """

    true: TrueRows
    anchors: Int64
    is_whole: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Changes:
    """What is true of the clips of a video: `truth[i]` of those that end with frame `frames[i]`, or later."""

    frames: Int64
    truth: npt.NDArray[Any]


class LabelledRows:
    """The labelled rows of the videos of a task that a corpus has.

    Args:
        task: The task.
        table: The corpus.
        labels: The labels.
        segments: Clips of a row, of a task that labels videos as a whole.
        after_label: Shown frames from the one that a clip is labelled by to its last.
    """

    def __init__(
        self,
        task: TaskConfig,
        table: FrameTable,
        labels: Labels,
        *,
        segments: int,
        after_label: int,
    ) -> None:
        self._task = task
        self._table = table
        self._labels = labels
        self._segments = segments
        self._after_label = after_label
        self._per_video = bool(task.labels and task.labels.per_video)
        self._changes = cache(self._find_changes)

    def of(self, video: str) -> AskedRows:
        """The labelled rows of a video that the corpus has a frame for, and their clips.

        Raises:
            ConfigError: The corpus has no such video.
            LabelError: Labels are missing or malformed.
        """
        true = self._labels.rows(video)
        shown = self._shown_of(video)
        if not len(shown):
            nothing = TrueRows(true.seconds[:0], true.truth[:0])
            return AskedRows(nothing, np.empty((0, self._segments), np.int64), np.empty(0, bool))
        if self._per_video:
            return self._of_whole_video(true, shown)

        # The nearest frame to each row, if it is at most half a row away.
        places = shown.nearest(true.seconds)
        distance = np.abs(shown.seconds(places) - true.seconds)
        kept = distance <= 0.5 / self._task.rows_per_second
        places = places[kept]
        ends = shown.moved(places, self._after_label)
        rows = TrueRows(true.seconds[kept], true.truth[kept])
        return AskedRows(rows, shown.numbers.at(ends)[:, None], ends == places + self._after_label)

    def _of_whole_video(self, true: TrueRows, shown: ShownFrames) -> AskedRows:
        """The row of a video that has one label, or none."""
        segments = np.arange(1, self._segments + 1)
        ends = (len(shown) * segments // self._segments - 1).clip(min=0)
        anchors = np.tile(shown.numbers.at(ends), (len(true.seconds), 1))
        return AskedRows(true, anchors, np.ones(len(true.seconds), bool))

    def truth_of(self, video: str, anchors: Int64) -> npt.NDArray[Any]:
        """What is true of the clips of a video that end with some frames."""
        changes = self._changes(video)
        return changes.truth[np.searchsorted(changes.frames, anchors, side="right") - 1]

    def ends(self, video: str, *, whole: bool) -> Int64:
        """The last frames of a video's clips, each once; of `whole` clips alone, or of all."""
        rows = self.of(video)
        return np.unique(rows.anchors[rows.is_whole] if whole else rows.anchors)

    def _find_changes(self, video: str) -> _Changes:
        """Ask for what is true of every clip of a video, once."""
        shown = self._shown_of(video)
        if self._per_video:
            return _Changes(
                shown.numbers.at(np.arange(1)), self._labels.nearest(video, np.zeros(1))
            )

        places = shown.moved(np.arange(len(shown)), -self._after_label)
        truth = self._labels.nearest(video, shown.seconds(places))
        starts = change_places(truth)
        return _Changes(shown.numbers.at(starts), truth[starts])

    def _shown_of(self, video: str) -> ShownFrames:
        """The frames that are shown of a video."""
        if video not in self._shown:
            ids = (part.video for part in self._table.parts(self._task.dataset))
            raise ConfigError(
                f"{self._table.storage.uri}: {self._task.dataset}: expected the video {video!r} of "
                f"{self._task.name}, got none of this id{did_you_mean(video, ids)}"
            )
        return self._shown[video]

    @cached_property
    def _shown(self) -> Mapping[str, ShownFrames]:
        """The videos of all splits that the corpus has."""
        asked = {id for split in ("train", "val", "test") for id in self._task.videos(split)}
        parts = self._table.parts(self._task.dataset)
        # The parts of a video follow each other.
        return {
            video: ShownFrames.of(shown)
            for video, shown in groupby(parts, lambda part: part.video)
            if video in asked
        }
