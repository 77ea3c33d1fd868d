"""The clips of a task's splits, as views of one packed corpus, and what is true of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.timeline import Labels, TrueRows
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subset import Anchors, Subset
from surgstream.trainer.batch import ClipName
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.statistics.subsets import nested_subsets
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.labelled.config import TaskClipsConfig

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AskedRows:
    """The labelled rows of a video that a corpus has a frame for.

    Attributes:
        true: The rows.
        anchors: (n, S), for each row the numbers in the video of the last frames of its S clips.
    """

    true: TrueRows
    anchors: Int64


class SplitClips:
    """The labelled clips of the videos of one split.

    Attributes:
        split: `train`, `val` or `test`.
        videos: The ids of its videos that have labelled rows.
        table: The clips, numbered in the order of the corpus.
    """

    def __init__(self, task: "TaskClips", split: str, videos: Sequence[str]) -> None:
        self._task = task
        self.split = split
        self.videos = tuple(video for video in videos if len(task.rows(video).true.seconds))

    @cached_property
    def table(self) -> Subset:
        """The clips; a ConfigError where there is none."""
        task = self._task
        ids = {task.config.dataset: self.videos}
        return Subset(task.table, ids, task.anchors(self.split, self.videos))

    @property
    def training_table(self) -> Subset:
        """The clips as training draws them."""
        return self.table

    @property
    def space(self) -> LabelSpace:
        """What labels there are."""
        return self._task.space

    def rows(self, video: str) -> AskedRows:
        """The rows of a video that are predicted, with the clips that each is predicted from."""
        return self._task.rows(video)

    def truth(self, names: Sequence[ClipName]) -> npt.NDArray[Any]:
        """What is true of clips, as `ClipBatch.labels` has it, by their names."""
        return self._task.truth(names)


class TaskClips:
    """A task over a packed corpus: three splits of labelled clips.

    Attributes:
        config: The task.
        space: What labels it has.
        table: The corpus, each packed frame of which is shown.
    """

    def __init__(
        self,
        config: TaskConfig,
        settings: TaskClipsConfig,
        table: FrameTable,
        labels: Labels,
        *,
        num_frames: int,
    ) -> None:
        """Read no label yet.

        Args:
            config: The task, with labels and a split.
            settings: Which of its clips to take.
            table: The corpus.
            labels: The labels.
            num_frames: Frames of a clip.

        Raises:
            ConfigError: The settings do not fit the task, or the corpus has no such dataset.
        """
        self.config = config
        self.space: LabelSpace = label_space(config)
        self.table = table
        self._settings = settings
        self._labels = labels
        self._num_frames = num_frames
        self._stride = config.clip.stride if settings.stride is None else settings.stride
        self._check()

    def split(self, name: str) -> SplitClips:
        """The clips of `train`, `val` or `test`; of `train` those of the share that is asked for."""
        videos = self.config.videos(name)
        if name == "train" and self._settings.share < 1:
            groups = self._labels.groups() | self.config.group_of()
            of_videos = {video: groups.get(video, video) for video in videos}
            percent = 100 * self._settings.share
            videos = nested_subsets(of_videos, self.config.name, percents=(percent,))[percent]
        return SplitClips(self, name, videos)

    def anchors(self, split: str, videos: Sequence[str]) -> Anchors:
        """The last frames of the clips of a split."""
        trained_everywhere = self.per_video and split == "train" and self._stride != "uniform"
        if trained_everywhere:
            return Anchors(stride=self._stride, spread=self._num_frames)
        frames = {video: np.unique(self.rows(video).anchors).tolist() for video in videos}
        return Anchors(
            frames={self.config.dataset: frames}, stride=self._stride, spread=self._num_frames
        )

    @property
    def per_video(self) -> bool:
        """Whether a video has one label."""
        return bool(self.config.labels and self.config.labels.per_video)

    def rows(self, video: str) -> AskedRows:
        """The labelled rows of a video that the corpus has a frame for, and their clips."""
        true = self._labels.rows(video)
        frames, fps = self._frames(video)
        if self.per_video:
            segments = self._settings.segments
            ends = [len(frames) * (i + 1) // segments - 1 for i in range(segments)]
            return AskedRows(true, frames[np.array([ends])])

        # The nearest frame to each row, if it is at most half a row away.
        wanted = true.seconds * fps
        places = np.searchsorted(frames, wanted).clip(1, len(frames) - 1)
        is_before = wanted - frames[places - 1] <= frames[places] - wanted
        nearest = frames[np.where(is_before, places - 1, places)]
        kept = np.abs(nearest / fps - true.seconds) <= 0.5 / self.config.rows_per_second
        rows = TrueRows(true.seconds[kept], true.truth[kept])
        return AskedRows(rows, nearest[kept][:, None])

    def truth(self, names: Sequence[ClipName]) -> npt.NDArray[Any]:
        """What is true of clips: the label of the row that is nearest to their last frame."""
        found = []
        for name in names:
            rows = self._labels.rows(name.video)
            _, fps = self._frames(name.video)
            distance = np.abs(rows.seconds - name.anchor_frame / fps)
            found.append(rows.truth[0 if self.per_video else int(distance.argmin())])
        kinds = {"class": np.int64, "multilabel": np.float32, "number": np.float32}
        return np.array(found, kinds[self.config.kind])

    def _frames(self, video: str) -> tuple[Int64, float]:
        """The numbers of the frames that are packed of a video, and their rate."""
        parts = self._parts[video]
        return np.concatenate([np.array(part.frames) for part in parts]), parts[0].fps

    @cached_property
    def _parts(self) -> Mapping[str, list[Any]]:
        parts = self.table.parts(self.config.dataset)
        return {video: list(shown) for video, shown in groupby(parts, lambda part: part.video)}

    def _check(self) -> None:
        if self._settings.segments > 1 and (not self.per_video or self._stride == "uniform"):
            raise ConfigError(
                f"clips.segments: expected 1, as {self.config.name} has a clip for each label, "
                f"got {self._settings.segments}"
            )
        if self._stride == "uniform" and not self.per_video:
            raise ConfigError(
                f"clips.stride: expected a number, as {self.config.name} labels frames, got uniform"
            )
        if self._settings.balance == "classes" and self.config.kind != "class":
            raise ConfigError(
                f"clips.balance: expected none, as {self.config.name} has no class for each label, "
                "got classes"
            )
