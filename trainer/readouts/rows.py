"""The features and labels of a task's videos, and predictions for them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions
from surgstream.trainer.features.store import FeatureStore, Floats
from surgstream.trainer.labelled.clips import SplitClips

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class VideoRows:
    """The rows of a video that have features.

    Attributes:
        video: The id of the video.
        seconds: (n,), increasing.
        truth: What is true of them, as `LabelValues.stack` gives it.
        features: (n, S, D) float32, of the S clips that each row is predicted from.
    """

    video: str
    seconds: npt.NDArray[np.float64]
    truth: npt.NDArray[Any]
    features: Floats


def read_rows(store: FeatureStore, dataset: str, split: SplitClips) -> list[VideoRows]:
    """Read the features of all labelled rows of a split. Rows whose clips are damaged are left out, with a warning.

    Raises:
        EvaluationError: No row of a video has features.
        FeatureError: A file is damaged.
        StorageError: A file cannot be read.
    """
    found = []
    for video in split.videos:
        asked = split.rows(video)
        features = store.read(dataset, video, asked.anchors.ravel())
        features = features.reshape(*asked.anchors.shape, -1)
        kept = np.asarray(np.isfinite(features).all((1, 2)))

        if not kept.any():
            raise EvaluationError(
                f"{store.uri}: {video}: expected features of {len(kept)} rows, got none; are its frames "
                "damaged? run `surgstream verify`"
            )
        if not kept.all():
            log.warning("%s: %d of %d rows have no features", video, (~kept).sum(), len(kept))
        found.append(
            VideoRows(video, asked.true.seconds[kept], asked.true.truth[kept], features[kept])
        )
    return found


def clip_features(videos: Sequence[VideoRows]) -> Tensor:
    """The features of all clips of all rows, in order: (N, D)."""
    return torch.from_numpy(
        np.concatenate([video.features.reshape(-1, video.features.shape[-1]) for video in videos])
    )


def clip_targets(videos: Sequence[VideoRows], space: LabelSpace) -> Tensor:
    """What is true of the same clips, as numbers to regress to: (N, C), 1 where a class is there, or numbers (N, 1)."""
    targets = []
    for video in videos:
        of_rows = targets_of(torch.from_numpy(video.truth), space)
        targets.append(of_rows.repeat_interleave(video.features.shape[1], dim=0))
    return torch.cat(targets)


def targets_of(truth: Tensor, space: LabelSpace) -> Tensor:
    """Labels of rows as numbers (n, C), see `clip_targets`."""
    if space.kind == "class":
        return torch.nn.functional.one_hot(truth, len(space.classes)).float()
    return truth.float() if space.kind == "multilabel" else truth.float()[:, None]


def predictions_of(
    videos: Sequence[VideoRows],
    scores: Tensor,
    space: LabelSpace,
    split: str,
) -> Predictions:
    """Predictions for the rows of videos, each the mean over its clips.

    Args:
        videos: The videos.
        scores: (N, C), of all their clips in order: of classes, or numbers with C = 1.
        space: What labels there are.
        split: The name of the split, for messages.
    """
    num_clips = [video.features[..., 0].size for video in videos]
    by_video = torch.split(scores.double(), num_clips)
    predicted = {}
    for video, of_clips in zip(videos, by_video, strict=True):
        of_rows = of_clips.view(len(video.seconds), -1, of_clips.shape[1]).mean(1).cpu().numpy()
        is_number = space.kind == "number"
        predicted[video.video] = PredictedVideo(
            seconds=video.seconds,
            scores=None if is_number else of_rows,
            predicted=of_rows[:, 0] if is_number else None,
        )
    return Predictions(where=f"the {split} split", classes=space.classes, videos=predicted)
