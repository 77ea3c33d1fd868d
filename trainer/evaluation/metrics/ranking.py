"""Average precision: how far up the rows of a class stand when all rows are sorted by its score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    Weights,
    mean_of_means,
    nan_mean,
)
from surgstream.trainer.evaluation.metrics.thresholds import rank

Bools = npt.NDArray[np.bool_]


def average_precision(truth: Bools, scores: Floats) -> float:
    """The sum over k of (R_k - R_{k-1}) P_k: the area below precision P over recall R, as a curve of steps.

    Each k is a distinct score, from the highest. Rows of equal scores are taken together, so their order is of no
    account.

    Args:
        truth: (n,), whether each row is of the class.
        scores: (n,), higher is more likely.

    Returns:
        From 0 to 1; NaN where no row is of the class.
    """
    if not truth.any():
        return float("nan")

    order = np.argsort(-scores)
    falling = scores[order]
    last_of_its_score = np.append(falling[1:] != falling[:-1], True)

    num_rows = np.flatnonzero(last_of_its_score) + 1
    num_found = np.cumsum(truth[order])[last_of_its_score]
    gained = np.diff(num_found, prepend=0)
    return float((gained * (num_found / num_rows)).sum() / num_found[-1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """What each row of V videos is, and how likely it was said to be that, for each of C classes.

    Attributes:
        names: Of the classes, C.
        truth: Of each video (n, C).
        scores: Of each video (n, C), higher is more likely.
        called: What the classes are called, in the plural.
    """

    names: Sequence[str]
    truth: Sequence[Bools]
    scores: Sequence[Floats]
    called: str = "classes"

    def absent(self) -> tuple[str, ...]:
        """Say which classes are in no row at all."""
        present = np.any([truth.any(0) for truth in self.truth], axis=0)
        return tuple(
            f"{name}: in no video"
            for name, is_there in zip(self.names, present, strict=True)
            if not is_there
        )


def columns_of(videos: Videos, labels: LabelSpace) -> Columns:
    """A column for each class, whether a row may be of one class or of several.

    Raises:
        MetricError: If labels alone were predicted.
    """
    return Columns(
        names=labels.classes,
        truth=[_truth(video, labels) for video in videos],
        scores=[_scores(video) for video in videos],
    )


def _truth(video: ScoredVideo, labels: LabelSpace) -> Bools:
    if labels.kind == "multilabel":
        return video.truth
    is_class: Bools = video.truth[:, None] == np.arange(len(labels.classes))
    return is_class


def _scores(video: ScoredVideo) -> Floats:
    if video.scores is None:
        raise MetricError(
            f"video {video.video}: expected scores to rank its rows by, got predicted labels alone; "
            "give a score, a probability or a logit for each class"
        )
    return video.scores


def pooled_over_rows(columns: Columns) -> Statistic:
    """Average precision over the rows of all videos, and its mean over classes that are in some row."""
    num_videos = len(columns.truth)
    classes = [
        rank([truth[:, c] for truth in columns.truth], [scores[:, c] for scores in columns.scores])
        for c in range(len(columns.names))
    ]

    def by_class(weights: Weights) -> Floats:
        return np.stack([ranked.average_precision(weights) for ranked in classes], axis=1)

    (of_all,) = by_class(np.ones((1, num_videos)))
    num_rows = sum(map(len, columns.truth))
    return Statistic(
        at=lambda weights: nan_mean(by_class(weights)),
        per_video=nan_mean(by_class(np.eye(num_videos))),
        per_class=dict(zip(columns.names, of_all.tolist(), strict=True)),
        averaged=f"{np.isfinite(of_all).sum()} {columns.called} over {num_rows} rows of {num_videos} videos",
        undefined=columns.absent(),
    )


def per_video(columns: Columns) -> Statistic:
    """Average precision of each video and class, its mean over videos, and the mean of these over classes.

    A class counts in the videos that have a row of it, and in no other.
    """
    by_video = zip(columns.truth, columns.scores, strict=True)
    table = np.array([_of_each_class(truth, scores) for truth, scores in by_video])
    of_all = nan_mean(table.T)
    num_values = np.isfinite(table).sum()

    return mean_of_means(
        table,
        per_class=dict(zip(columns.names, of_all.tolist(), strict=True)),
        averaged=f"{np.isfinite(of_all).sum()} {columns.called} over {len(table)} videos, of {num_values} values",
        undefined=columns.absent(),
    )


def _of_each_class(truth: Bools, scores: Floats) -> list[float]:
    """Average precision of each column, C."""
    return [average_precision(*column) for column in zip(truth.T, scores.T, strict=True)]


METRICS: dict[str, Metric] = {
    "map": Metric(
        title="Mean average precision, over all rows",
        kinds=("class", "multilabel"),
        needs="scores",
        compute=lambda videos, labels: pooled_over_rows(columns_of(videos, labels)),
    ),
    "map_per_video": Metric(
        title="Mean average precision, videos then classes",
        kinds=("class", "multilabel"),
        needs="scores",
        compute=lambda videos, labels: per_video(columns_of(videos, labels)),
    ),
}
