"""Predicted pictures against what is true of them: the metrics of each image, read one video after another."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.dense.truth import DenseTruth
from surgstream.trainer.evaluation.metrics.dense.pictures import (
    Picture,
    of_classes,
    of_depth,
    of_mask,
)
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import Floats
from surgstream.trainer.evaluation.predictions.maps import PredictedMaps

_READ_AT_ONCE = 16
"""Pictures of the truth that are in memory together."""

Predict = Callable[[ScoredVideo, int, tuple[int, int]], Picture]
"""From a video, the number of a row in it, and height and width to what is predicted for it."""


def score_maps(videos: Videos, maps: PredictedMaps, truth: DenseTruth) -> list[ScoredVideo]:
    """Score the pictures that a model predicted.

    Args:
        videos: Rows that are matched: `truth` the numbers of their frames, `predicted` those of their pictures.
        maps: The pictures.
        truth: What is true.

    Returns:
        The videos with `images`.

    Raises:
        EvaluationError: A picture is damaged, or of another size than its frame.
    """

    def predict(video: ScoredVideo, row: int, size: tuple[int, int]) -> Picture:
        assert video.predicted is not None
        number = int(video.predicted[row])
        width, height = maps.sizes[number]
        # Asked before it is decoded, since a small file may be a picture of gigabytes
        if (height, width) != size:
            raise EvaluationError(
                f"{maps.predictions.where}: {video.video}: expected pictures of {size[1]}x{size[0]} "
                f"pixels, as its frames, got {width}x{height}"
            )
        return maps.read(number, truth.space)

    return score_pictures(videos, predict, truth)


def score_pictures(videos: Videos, predict: Predict, truth: DenseTruth) -> list[ScoredVideo]:
    """Score pictures as they are predicted; see `score_maps`."""
    return [replace(video, images=_of_video(video, predict, truth)) for video in videos]


def _of_video(video: ScoredVideo, predict: Predict, truth: DenseTruth) -> dict[str, Floats]:
    frames = video.truth.tolist()
    rows = []
    for start in range(0, len(frames), _READ_AT_ONCE):
        pictures = truth.read(video.video, frames[start : start + _READ_AT_ONCE])
        for row, true in enumerate(pictures, start):
            predicted = predict(video, row, true.shape)
            rows.append(_of_picture(predicted, true, truth.space))
    return {name: np.array([found[name] for found in rows], np.float64) for name in rows[0]}


def _of_picture(predicted: Picture, truth: Picture, space: LabelSpace) -> dict[str, Any]:
    if space.kind == "depth":
        return of_depth(predicted, truth)
    if len(space.classes) > 1:
        return of_classes(predicted, truth, len(space.classes))
    return of_mask(predicted, truth)
