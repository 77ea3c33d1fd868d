"""Predicted pictures that need no encoder: what a number must beat before it means anything.

- `constant`: no pixel is of any class; of depth the median distance of the training pictures, everywhere.
- `mean of training`: at each place of the picture what training pictures have there: of one class how often it is
  there, of several the most frequent one, of depth the mean distance.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.dense.scoring import score_pictures
from surgstream.trainer.evaluation.dense.truth import DenseTruth, at_places
from surgstream.trainer.evaluation.metrics.dense.pictures import Picture
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import Floats
from surgstream.trainer.evaluation.predictions.yardsticks import CONSTANT
from surgstream.trainer.evaluation.tasks.config import TaskConfig

MEAN = "mean of training"
"""The name of the yardstick that predicts by place alone."""

MAX_PICTURES = 400
"""The most training pictures that yardsticks look at, evenly spread over all of them."""

SIDE = 48
"""Places along each axis, each seen by the pixel in its middle."""

Draw = Callable[[tuple[int, int]], Picture]
"""From height and width to a predicted picture."""


def dense_yardsticks(
    task: TaskConfig, test: Videos, truth: DenseTruth
) -> dict[str, list[ScoredVideo]]:
    """Score all yardsticks on some videos.

    Args:
        task: The task.
        test: The videos to predict; what was predicted for them is not looked at.
        truth: What is true of them, and of the training videos.

    Returns:
        The scored videos by the yardstick's name. Without training pictures there is `constant` alone, and that not of
        depth.
    """
    draws = yardsticks_of(training_places(task, truth), truth.space)
    return {name: score_pictures(test, _everywhere(draw), truth) for name, draw in draws.items()}


def training_places(task: TaskConfig, truth: DenseTruth) -> npt.NDArray[np.float64]:
    """What training pictures have at `SIDE` x `SIDE` places: (n, SIDE, SIDE), n up to `MAX_PICTURES`."""
    videos = [video for video in task.videos("train") if truth.labels.has(video)]
    frames = [
        (video, frame) for video in videos for frame in truth.labels.rows(video).truth.tolist()
    ]
    kept = np.linspace(0, len(frames) - 1, min(len(frames), MAX_PICTURES)).astype(np.int64)

    by_video: dict[str, list[int]] = {}
    for number in kept.tolist():
        video, frame = frames[number]
        by_video.setdefault(video, []).append(frame)

    places = [np.empty((0, SIDE, SIDE))]
    for video, wanted in by_video.items():
        pictures = truth.read(video, wanted)
        places.append(np.stack([at_places(picture, (SIDE, SIDE)) for picture in pictures]))
    return np.concatenate(places).astype(np.float64)


def yardsticks_of(train: Floats, space: LabelSpace) -> dict[str, Draw]:
    """The yardsticks by their names.

    Args:
        train: (n, SIDE, SIDE), what training pictures have; n may be 0.
        space: What labels there are.
    """
    found: dict[str, Draw] = {}
    if space.kind == "depth":
        known = train[train > 0]
        if known.size:
            found[CONSTANT] = lambda size: np.full(size, np.median(known))
            found[MEAN] = lambda size: at_places(_mean_depth(train), size)
        return found

    several = len(space.classes) > 1
    found[CONSTANT] = lambda size: np.zeros(size, np.uint8 if several else np.float64)
    if len(train):
        by_place = _most_frequent(train, len(space.classes)) if several else train.mean(0)
        found[MEAN] = lambda size: at_places(by_place, size)
    return found


def _most_frequent(train: Floats, num_classes: int) -> Picture:
    counts = np.stack([(train == number).sum(0) for number in range(num_classes + 1)])
    most: Picture = counts.argmax(0).astype(np.uint8)
    return most


def _mean_depth(train: Floats) -> Floats:
    """The mean of known distances at each place; where none is known, that of all places."""
    known = train > 0
    counts = known.sum(0)
    means = train.sum(0) / np.maximum(counts, 1)
    filled: Floats = np.where(counts > 0, means, train[known].mean())
    return filled


def _everywhere(draw: Draw) -> Callable[[ScoredVideo, int, tuple[int, int]], Picture]:
    def predict(_video: ScoredVideo, _row: int, size: Sequence[int]) -> Picture:
        return draw((size[0], size[1]))

    return predict
