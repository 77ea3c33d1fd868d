"""What is true of each pixel of a task's frames."""

from collections.abc import Sequence

import numpy as np

from surgstream.shards.format.layers import STEPS_PER_MILLIMETRE
from surgstream.shards.format.png import Picture
from surgstream.shards.labels.layered import LayerLabels
from surgstream.shards.labels.timeline import Labels
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.dense.pictures import Picture as Map
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.tasks.config import TaskConfig


class DenseTruth:
    """Reads what is true of the frames of a task of masks or depth.

    Args:
        task: The task.
        space: What labels it has.
        labels: Its rows, and the layer with their pictures.

    Raises:
        EvaluationError: The layer holds something else than the task asks for.
    """

    def __init__(self, task: TaskConfig, space: LabelSpace, labels: LayerLabels) -> None:
        assert task.layer
        values = labels.layer.manifest.values
        expected = "depth" if task.kind == "depth" else "classes"
        if values != expected:
            raise EvaluationError(
                f"{task.name}: layer {task.layer.name}: expected a layer of {expected}, got one of {values}"
            )
        self.space = space
        self.labels = labels
        self._task = task
        self._above = task.layer.above

    def size(self, video: str) -> tuple[int, int]:
        """Width and height of the frames of a video."""
        return self.labels.layer.size(self._task.dataset, video)

    def read(self, video: str, frames: Sequence[int]) -> list[Map]:
        """Read what is true of some frames of a video, by their numbers in it.

        Returns:
            Of each frame (H, W): of one class bool, of several the number of the class as uint8, 0 where it is none;
            of depth float64 millimetres, 0 where nothing is known.

        Raises:
            CorruptSampleError: A picture is not what was packed.
            EvaluationError: A frame has no picture, or a pixel a class that the task does not name.
            StorageError: The store fails.
        """
        pictures = self.labels.layer.pictures(self._task.dataset, video, frames)
        return [
            self._meant(picture, f"{video}, frame {frame}")
            for picture, frame in zip(pictures, frames, strict=True)
        ]

    def _meant(self, picture: Picture | None, where: str) -> Map:
        if picture is None:
            raise EvaluationError(f"{self._task.name}: {where}: expected a picture, got none")
        if self.space.kind == "depth":
            return picture / STEPS_PER_MILLIMETRE
        if len(self.space.classes) == 1:
            return picture > self._above

        if picture.max(initial=0) > len(self.space.classes):
            raise EvaluationError(
                f"{self._task.name}: {where}: expected classes up to {len(self.space.classes)}, as "
                f"the task names so many, got {picture.max()}"
            )
        return picture.astype(np.uint8, copy=False)


def dense_truth_of(task: TaskConfig, space: LabelSpace, labels: Labels) -> DenseTruth | None:
    """What is true of each pixel of a task of masks or depth; None of others.

    Args:
        task: The task.
        space: What labels it has.
        labels: Its labels, as `open_labels` gives them.

    Raises:
        EvaluationError: The layer holds something else than the task asks for.
    """
    return DenseTruth(task, space, labels) if isinstance(labels, LayerLabels) else None


def at_places(picture: Map, size: tuple[int, int]) -> Map:
    """The values in the middle of each of (rows, columns) equal parts of a picture."""
    rows, columns = (
        ((np.arange(count) + 0.5) * side / count).astype(np.int64)
        for count, side in zip(size, picture.shape, strict=True)
    )
    values: Map = picture[rows[:, None], columns]
    return values
