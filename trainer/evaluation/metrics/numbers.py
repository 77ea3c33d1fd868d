"""Errors and rank correlation of predicted numbers, such as scores of skill."""

import numpy as np

from surgstream.trainer.evaluation.metrics.draws import in_blocks
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    Weights,
    mean_over_videos,
    pooled,
    zero_to_nan,
)


def mean_absolute_error(videos: Videos, labels: LabelSpace) -> Statistic:
    """The mean of |predicted - true| over the rows of all videos, in the unit of the labels."""
    return pooled(
        _sums([np.abs(_errors(video)) for video in videos]),
        lambda sums: sums[:, 0] / zero_to_nan(sums[:, 1]),
        averaged=_rows(videos),
    )


def mean_absolute_error_per_video(videos: Videos, labels: LabelSpace) -> Statistic:
    """The mean over videos of each video's mean of |predicted - true|, in the unit of the labels."""
    return mean_over_videos(
        np.array([np.abs(_errors(video)).mean() for video in videos]),
        averaged=f"{len(videos)} videos",
    )


def root_mean_squared_error(videos: Videos, labels: LabelSpace) -> Statistic:
    """The root of the mean of (predicted - true)^2 over the rows of all videos, in the unit of the labels."""
    return pooled(
        _sums([_errors(video) ** 2 for video in videos]),
        lambda sums: np.sqrt(sums[:, 0] / zero_to_nan(sums[:, 1])),
        averaged=_rows(videos),
    )


def spearman(videos: Videos, labels: LabelSpace) -> Statistic:
    """The correlation of the ranks of predicted and true numbers over the rows of all videos.

    Equal numbers share the mean of their ranks. It is NaN where all predictions, or all truths, are equal.
    """
    truth = np.concatenate([video.truth for video in videos])
    predicted = np.concatenate([_predicted(video) for video in videos])
    owners = np.repeat(np.arange(len(videos)), [video.num_rows for video in videos])

    def correlation(weights: Weights) -> Floats:
        times = weights[:, owners]
        mean = (times.sum(1, keepdims=True) + 1) / 2
        true_ranks = _ranks(truth, times) - mean
        predicted_ranks = _ranks(predicted, times) - mean

        product = (times * true_ranks * predicted_ranks).sum(1)
        squares = (times * true_ranks**2).sum(1) * (times * predicted_ranks**2).sum(1)
        coefficients: Floats = product / zero_to_nan(np.sqrt(squares))
        return coefficients

    constants = (("constant prediction", predicted), ("constant truth", truth))
    return Statistic(
        at=lambda weights: in_blocks(correlation, weights, num_cells=len(truth)),
        per_video=None,
        averaged=_rows(videos),
        undefined=tuple(name for name, values in constants if np.ptp(values) == 0),
    )


def _ranks(values: Floats, times: Floats) -> Floats:
    """The rank from 1 of each of n values in each of D draws, (D, n), if each value is drawn so many times, (D, n)."""
    order = np.argsort(values)
    distinct, places = np.unique(values, return_inverse=True)
    starts = np.searchsorted(values[order], distinct)

    num_equal = np.add.reduceat(times[:, order], starts, axis=1)
    num_up_to = num_equal.cumsum(1)
    mean_ranks: Floats = (num_up_to - (num_equal - 1) / 2)[:, places]
    return mean_ranks


def _sums(values: list[Floats]) -> Floats:
    """(V, 2): the sum of each video's values, and how many they are."""
    return np.array([[of_video.sum(), len(of_video)] for of_video in values])


def _errors(video: ScoredVideo) -> Floats:
    errors: Floats = _predicted(video) - video.truth
    return errors


def _predicted(video: ScoredVideo) -> Floats:
    assert video.predicted is not None
    return video.predicted


def _rows(videos: Videos) -> str:
    return f"{sum(video.num_rows for video in videos)} rows of {len(videos)} videos"


METRICS: dict[str, Metric] = {
    "mae": Metric(
        title="Mean absolute error, over all rows",
        kinds=("number",),
        percent=False,
        higher_is_better=False,
        compute=mean_absolute_error,
    ),
    "mae_per_video": Metric(
        title="Mean absolute error, mean of videos",
        kinds=("number",),
        percent=False,
        higher_is_better=False,
        compute=mean_absolute_error_per_video,
    ),
    "root_mean_squared_error": Metric(
        title="Root mean squared error, over all rows",
        kinds=("number",),
        percent=False,
        higher_is_better=False,
        compute=root_mean_squared_error,
    ),
    "spearman": Metric(
        title="Spearman's rank correlation, over all rows",
        kinds=("number",),
        percent=False,
        compute=spearman,
    ),
}
