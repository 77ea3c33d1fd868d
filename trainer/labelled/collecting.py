"""Predictions for a split, put together from clips, views and ranks."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.trainer.batch import ClipName
from surgstream.trainer.distributed import gather
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.rows import AskedRows

log = logging.getLogger(__name__)

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
        shares = gather(_joined(self._shares))
        return self._predictions(_joined(shares)) if shares else []

    def _predictions(self, all_clips: _Share) -> list[Predictions]:
        space = self._split.space
        videos: list[dict[str, PredictedVideo]] = [{} for _ in range(all_clips.scores.shape[1])]
        num_missing = 0
        for video, clips in zip(self._split.videos, self._by_video(all_clips), strict=True):
            rows = self._split.rows(video)
            kept, means = self._means(video, rows, clips)
            num_missing += len(rows.anchors) - len(kept)
            for model, found in enumerate(videos):
                found[video] = PredictedVideo(
                    seconds=rows.true.seconds[kept],
                    scores=None if space.kind == "number" else means[:, model],
                    predicted=means[:, model, 0] if space.kind == "number" else None,
                )

        if num_missing:
            log.warning(
                "the %s split: %d rows have no prediction, as clips that they need are damaged; run "
                "`surgstream verify`",
                self._split.split,
                num_missing,
            )
        return [
            Predictions(where=f"the {self._split.split} split", classes=space.classes, videos=found)
            for found in videos
        ]

    def _by_video(self, clips: _Share) -> Iterator[_Share]:
        """The clips of each video of the split, by their last frames."""
        order = np.lexsort((clips.anchors, clips.videos))
        bounds = np.searchsorted(clips.videos[order], np.arange(len(self._split.videos) + 1))
        for start, stop in pairwise(bounds.tolist()):
            members = order[start:stop]
            yield _Share(clips.videos[members], clips.anchors[members], clips.scores[members])

    def _means(
        self, video: str, rows: AskedRows, clips: _Share
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The rows of a video whose clips were all predicted, (n,), and their mean scores, (n, M, C)."""
        anchors, firsts, counts = np.unique(clips.anchors, return_index=True, return_counts=True)
        if (counts > self._num_views).any():
            twice = anchors[counts > self._num_views][0]
            raise EvaluationError(
                f"{video}, frame {twice}: expected {self._num_views} predictions, got more"
            )

        whole = anchors[counts == self._num_views]
        kept = np.flatnonzero(np.isin(rows.anchors, whole).all(axis=1))
        if not kept.size:
            raise EvaluationError(
                f"{video}: expected predictions for {len(rows.anchors)} rows, got none; are its frames damaged? "
                "run `surgstream verify`"
            )
        # Sorted, so those of a clip follow each other.
        sums = np.add.reduceat(clips.scores, firsts, axis=0, dtype=np.float64)
        places = np.searchsorted(anchors, rows.anchors[kept])
        return kept, sums[places].mean(1) / self._num_views


def _joined(shares: Sequence[_Share]) -> _Share:
    return _Share(
        np.concatenate([share.videos for share in shares]),
        np.concatenate([share.anchors for share in shares]),
        np.concatenate([share.scores for share in shares]),
    )
