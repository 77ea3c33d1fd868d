"""Predictions for a split, put together from clips, views and ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.distributed as dist

from surgstream.trainer.batch import ClipName
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions
from surgstream.trainer.labelled.clips import SplitClips

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Share:
    """What one rank has predicted: of each clip the number of its video, its last frame, and scores (n, M, C)."""

    videos: npt.NDArray[np.int32]
    anchors: npt.NDArray[np.int32]
    scores: Floats


class Collector:
    """Collects what M models predict for the clips of a split, each clip in as many views as all others.

    Args:
        split: The clips.
        num_views: Views of each clip; their scores are averaged.
    """

    def __init__(self, split: SplitClips, num_views: int = 1) -> None:
        self._split = split
        self._num_views = num_views
        self._number = {video: number for number, video in enumerate(split.videos)}
        self._shares: list[_Share] = []

    def add(
        self, names: Sequence[ClipName], valid: npt.NDArray[np.bool_], scores: npt.NDArray[Any]
    ) -> None:
        """Take the scores of a batch.

        Args:
            names: B clips.
            valid: (B,), which of them count.
            scores: (M, B, C), of M models: probabilities of classes, or numbers with C = 1.
        """
        kept = np.flatnonzero(valid).tolist()
        videos = [self._number[names[i].video] for i in kept]
        anchors = [names[i].anchor_frame for i in kept]
        self._shares.append(
            _Share(
                np.array(videos, np.int32),
                np.array(anchors, np.int32),
                scores[:, kept].swapaxes(0, 1).astype(np.float32),
            )
        )

    def gather(self) -> list[Predictions]:
        """The predictions of each of the M models, on rank 0; on the others nothing. Collective.

        Raises:
            EvaluationError: A clip was predicted more often than it has views, or a video was not at all.
        """
        mine = _joined(self._shares)
        if dist.get_world_size() == 1:
            return self._predictions(mine)

        is_main = dist.get_rank() == 0
        shares: list[Any] | None = [None] * dist.get_world_size() if is_main else None
        dist.gather_object(mine, shares)
        return self._predictions(_joined(shares)) if shares else []

    def _predictions(self, all_clips: _Share) -> list[Predictions]:
        space = self._split.space
        videos: list[dict[str, PredictedVideo]] = [{} for _ in range(all_clips.scores.shape[1])]
        for number, video in enumerate(self._split.videos):
            of_video = np.flatnonzero(all_clips.videos == number)
            seconds, scores = self._rows(video, all_clips, of_video)
            for model, found in enumerate(videos):
                found[video] = PredictedVideo(
                    seconds=seconds,
                    scores=None if space.kind == "number" else scores[:, model],
                    predicted=scores[:, model, 0] if space.kind == "number" else None,
                )
        return [
            Predictions(where=f"the {self._split.split} split", classes=space.classes, videos=found)
            for found in videos
        ]

    def _rows(
        self, video: str, clips: _Share, of_video: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The seconds (n,) of a video's rows whose clips were all predicted, and their mean scores (n, M, C)."""
        anchors, place, counts = np.unique(
            clips.anchors[of_video], return_inverse=True, return_counts=True
        )
        if (counts > self._num_views).any():
            twice = anchors[counts > self._num_views][0]
            raise EvaluationError(
                f"{video}, frame {twice}: expected {self._num_views} predictions, got more"
            )
        sums = np.zeros((len(anchors), *clips.scores.shape[1:]))
        np.add.at(sums, place, clips.scores[of_video])

        rows = self._split.rows(video)
        whole = anchors[counts == self._num_views]
        kept = np.flatnonzero(np.isin(rows.anchors, whole).all(axis=1))
        if not kept.size:
            raise EvaluationError(
                f"{video}: expected predictions for {len(rows.anchors)} rows, got none; are its frames damaged? "
                "run `surgstream verify`"
            )
        places = np.searchsorted(anchors, rows.anchors[kept])
        means = sums[places].mean(1) / self._num_views
        return rows.true.seconds[kept], means


def _joined(shares: Sequence[_Share]) -> _Share:
    return _Share(
        np.concatenate([share.videos for share in shares]),
        np.concatenate([share.anchors for share in shares]),
        np.concatenate([share.scores for share in shares]),
    )
