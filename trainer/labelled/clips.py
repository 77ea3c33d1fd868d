"""The clips of a task's splits, as views of one packed corpus, and what is true of each."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.timeline import Labels
from surgstream.shards.order.sequence import OrderConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import SizedTable
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.runs import Runs
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.trainer.batch import ClipName
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.dense.truth import dense_truth_of
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.statistics.subsets import nested_subsets
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.labelled.balanced import ClassTable
from surgstream.trainer.labelled.config import TaskClipsConfig
from surgstream.trainer.labelled.rows import AskedRows, LabelledRows

log = logging.getLogger(__name__)

Int64 = npt.NDArray[np.int64]

_LABEL_TYPES = {
    "class": np.int64,
    "multilabel": np.float32,
    "number": np.float32,
    "mask": np.int64,
    "depth": np.int64,
}


class SplitClips:
    """The labelled clips of the videos of one split.

    Attributes:
        split: `train`, `val` or `test`.
        videos: The ids of its videos that have labelled rows.
    """

    def __init__(self, task: "TaskClips", split: str, videos: Sequence[str]) -> None:
        """Read the labels.

        Args:
            task: The task.
            split: Its split.
            videos: The videos to take of it.

        Raises:
            ConfigError: The corpus has no such video.
            EvaluationError: A video to be judged by has no labelled row with a frame.
            LabelError: Labels are missing or malformed.
        """
        self._task = task
        self.split = split
        self.videos = tuple(video for video in videos if len(task.rows(video).true.seconds))

        without = sorted({*videos} - {*self.videos})
        if without and split != "train":
            raise EvaluationError(
                f"{task.config.name}: {without[0]}: expected labelled rows with frames, as it is of the "
                f"{split} split, got none (of {len(without)} such videos)"
            )
        if without:
            log.warning(
                "%s: %d training videos have no labelled rows with frames, and are left out: %s%s",
                task.config.name,
                len(without),
                ", ".join(without[:5]),
                ", ..." if len(without) > 5 else "",
            )

    @cached_property
    def table(self) -> Subset:
        """The clips, numbered in the order of the corpus; a ConfigError where there is none."""
        task = self._task
        ids = {task.config.dataset: self.videos}
        return Subset(task.table, ids, task.anchors(self.split, self.videos))

    @cached_property
    def training_table(self) -> SizedTable:
        """The clips to draw from in training: `table`, or, where classes are balanced, each class a dataset."""
        if not self._task.is_balanced:
            return self.table

        task = self._task
        dataset = task.config.dataset
        classes = {
            name: Subset(task.table, {dataset: videos}, anchors)
            for name, (videos, anchors) in task.by_class(self.split, self.videos).items()
        }
        missing = [name for name in task.space.classes if name not in classes]
        if missing:
            log.warning(
                "%s: no clips to train on of %d of %d classes, which are left out: %s",
                task.config.name,
                len(missing),
                len(task.space.classes),
                ", ".join(missing),
            )
        return ClassTable(task.table, dataset, classes)

    def training_order(self, order: OrderConfig) -> OrderConfig:
        """The order for `training_table`: the recipe's; classes are drawn alike where they are to be balanced."""
        if self._task.is_balanced and order.weights == "uniform":
            return replace(order, weights="balanced")
        return order

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

    Memory grows with the videos, and with the changes and breaks in their labels, not with the clips.

    Attributes:
        config: The task.
        space: What labels it has.
        table: The corpus, each packed frame of which is shown.
        dense_truth: What is true of each pixel; None where rows have labels.
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
        self.dense_truth = dense_truth_of(config, self.space, labels)
        self._num_frames = num_frames
        self._stride = config.clip.stride if settings.stride is None else settings.stride
        for problem in self._problems():
            raise ConfigError(problem)
        self._rows = LabelledRows(
            config, table, labels, segments=settings.segments, after_label=self._after_label
        )

    def split(self, name: str) -> SplitClips:
        """The clips of `train`, `val` or `test`; of `train` those of the share that is asked for."""
        videos = self.config.videos(name)
        if name == "train" and self._settings.share < 1:
            groups = self._labels.groups() | self.config.group_of()
            of_videos = {video: groups.get(video, video) for video in videos}
            percent = 100 * self._settings.share
            videos = nested_subsets(of_videos, self.config.name, percents=(percent,))[percent]
        return SplitClips(self, name, videos)

    @property
    def per_video(self) -> bool:
        """Whether a video has one label."""
        return bool(self.config.labels and self.config.labels.per_video)

    @property
    def is_balanced(self) -> bool:
        """Whether every class is drawn as often in training."""
        return self._settings.balance == "classes"

    def anchors(self, split: str, videos: Sequence[str]) -> Anchors:
        """The last frames of the clips of a split."""
        if self._trains_everywhere(split):
            return self._anchors_at("all")
        return self._anchors_at(
            {video: Runs.of(self._rows.ends(video, whole=split == "train")) for video in videos}
        )

    def by_class(
        self, split: str, videos: Sequence[str]
    ) -> dict[str, tuple[Sequence[str], Anchors]]:
        """The videos, and the last frames in them, of the clips of each class that has some, in order of classes."""
        ends: dict[int, dict[str, Runs]] = {}
        for video in videos:
            numbers = self._rows.ends(video, whole=split == "train")
            classes = self._rows.truth_of(video, numbers)
            for number in np.unique(classes).tolist():
                ends.setdefault(number, {})[video] = Runs.of(numbers[classes == number])

        everywhere = self._trains_everywhere(split)
        return {
            self.space.classes[number]: (
                [*ends[number]],
                self._anchors_at("all" if everywhere else ends[number]),
            )
            for number in sorted(ends)
        }

    def rows(self, video: str) -> AskedRows:
        """The labelled rows of a video that the corpus has a frame for, and their clips; see `LabelledRows.of`."""
        return self._rows.of(video)

    def truth(self, names: Sequence[ClipName]) -> npt.NDArray[Any]:
        """What is true of clips: the label of the row that is nearest to the frame that they are labelled by.

        Returns:
            As `ClipBatch.labels` has it; of masks and depth the numbers of their frames in the video.
        """
        by_video: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            by_video.setdefault(name.video, []).append(i)

        shape = (len(names), *self._truth_shape)
        truth = np.empty(shape, _LABEL_TYPES[self.config.kind])
        for video, members in by_video.items():
            anchors = np.array([names[i].anchor_frame for i in members])
            truth[members] = self._rows.truth_of(video, anchors)
        return truth

    def _trains_everywhere(self, split: str) -> bool:
        """Whether clips end with every frame of their video, as they may where it has one label."""
        return self.per_video and split == "train" and self._stride != "uniform"

    def _anchors_at(self, frames: Literal["all"] | Mapping[str, Runs]) -> Anchors:
        """Anchors in the task's dataset, with the task's stride."""
        return Anchors(
            frames="all" if frames == "all" else {self.config.dataset: frames},
            stride=self._stride,
            spread=self._num_frames,
        )

    @property
    def _after_label(self) -> int:
        """Shown frames from the one that a clip is labelled by to its last."""
        if self._stride == "uniform":
            return 0
        strides = {"last": 0, "middle": (self._num_frames - 1) // 2, "first": self._num_frames - 1}
        return strides[self.config.clip.label] * self._stride

    @property
    def _truth_shape(self) -> tuple[int, ...]:
        return (len(self.space.classes),) if self.config.kind == "multilabel" else ()

    def _problems(self) -> Iterator[str]:
        """Yield what in the settings does not fit the task, or the task the corpus."""
        name = self.config.name
        known = [size.name for size in self.table.sizes()]
        if self.config.dataset not in known:
            yield (
                f"{self.table.storage.uri}: expected the dataset {self.config.dataset!r} of {name}, got "
                f"none of this name{did_you_mean(self.config.dataset, known)}"
            )
        if self._settings.segments > 1 and (not self.per_video or self._stride == "uniform"):
            reason = "labels frames" if not self.per_video else "has one uniform clip a video"
            yield f"clips.segments: expected 1, as {name} {reason}, got {self._settings.segments}"
        if self._stride == "uniform" and not self.per_video:
            yield f"clips.stride: expected a number, as {name} labels frames, got uniform"
        if self.is_balanced and self.config.kind != "class":
            yield (
                f"clips.balance: expected none, as {name} has no class for each label, got classes"
            )
