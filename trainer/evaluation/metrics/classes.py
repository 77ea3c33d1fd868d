"""Metrics of classes where rows stand for themselves, such as clips."""

from functools import partial

import numpy as np

from surgstream.trainer.evaluation.metrics.aggregation import pooled_then_classes
from surgstream.trainer.evaluation.metrics.confusion import (
    f1,
    in_truth,
    in_truth_or_prediction,
    ratio,
    recall,
    true_and_predicted,
)
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import Floats, Statistic, pooled


def accuracy(videos: Videos, space: LabelSpace) -> Statistic:
    """The share of all rows that are predicted right."""

    def share(counts: Floats) -> Floats:
        right, rows = np.moveaxis(counts, -1, 0)
        return ratio(right, rows)

    counts = np.array([(num_right(video), video.num_rows) for video in videos])
    averaged = f"{counts[:, 1].sum()} rows of {len(videos)} videos"
    return pooled(counts, share, averaged=averaged)


def num_right(video: ScoredVideo) -> int:
    """How many rows are predicted right."""
    truth, predicted = true_and_predicted(video)
    return int((truth == predicted).sum())


METRICS: dict[str, Metric] = {
    "accuracy": Metric(title="Accuracy", kinds=("class",), compute=accuracy),
    "macro_f1": Metric(
        title="Macro F1, classes in truth or prediction",
        kinds=("class",),
        compute=partial(pooled_then_classes, f1, in_truth_or_prediction),
    ),
    "balanced_accuracy": Metric(
        title="Balanced accuracy",
        kinds=("class",),
        compute=partial(pooled_then_classes, recall, in_truth),
    ),
}
