"""Confusion matrices of videos, and the measures of a class that follow from them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import Floats, zero_to_nan

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Measure = Callable[[Floats], Floats]
"""From outcomes (..., 3, C) to the value of each class (..., C); NaN where it is 0/0, which is up to each average."""


def true_and_predicted(video: ScoredVideo) -> tuple[Ints, Ints]:
    """The true and the predicted class of each row, (n,) both."""
    assert video.predicted is not None, "of classes there always are predictions"
    return video.truth, video.predicted


def confusions(videos: Videos, space: LabelSpace) -> Ints:
    """How often each true class, a row, was predicted as each class, a column: (V, C, C)."""
    num_classes = len(space.classes)
    matrices = []

    for video in videos:
        truth, predicted = true_and_predicted(video)
        cells = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
        matrices.append(cells.reshape(num_classes, num_classes))

    return np.stack(matrices)


def outcomes(matrices: Ints) -> Floats:
    """TP, FP and FN of each class: from confusion matrices (V, C, C) to (V, 3, C)."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    false_alarms = matrices.sum(1) - hits
    misses = matrices.sum(2) - hits
    return np.stack([hits, false_alarms, misses], axis=1).astype(np.float64)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Their quotient; NaN, and no warning, where the whole is 0."""
    quotient: Floats = part / zero_to_nan(whole)
    return quotient


def in_truth(counts: Floats) -> Bools:
    """Whether each class is in the truth: from outcomes (..., 3, C) to (..., C)."""
    hits, _, misses = _parts(counts)
    return np.greater(hits + misses, 0)


def in_truth_or_prediction(counts: Floats) -> Bools:
    """Whether each class is in the truth or in the prediction: from outcomes (..., 3, C) to (..., C)."""
    hits, false_alarms, misses = _parts(counts)
    return np.greater(hits + false_alarms + misses, 0)


def jaccard(counts: Floats) -> Floats:
    """TP / (TP + FP + FN)."""
    hits, false_alarms, misses = _parts(counts)
    return ratio(hits, hits + false_alarms + misses)


def precision(counts: Floats) -> Floats:
    """TP / (TP + FP)."""
    hits, false_alarms, _ = _parts(counts)
    return ratio(hits, hits + false_alarms)


def recall(counts: Floats) -> Floats:
    """TP / (TP + FN)."""
    hits, _, misses = _parts(counts)
    return ratio(hits, hits + misses)


def f1(counts: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN)."""
    hits, false_alarms, misses = _parts(counts)
    return ratio(2 * hits, 2 * hits + false_alarms + misses)


def f1_of_ratios(counts: Floats) -> Floats:
    """2 P R / (P + R), which is 0/0 where nothing is hit and `f1` is 0; elsewhere they are equal."""
    precisions = precision(counts)
    recalls = recall(counts)
    return ratio(2 * precisions * recalls, precisions + recalls)


def _parts(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """TP, FP and FN, (..., C) each."""
    hits, false_alarms, misses = np.moveaxis(counts, -2, 0)
    return hits, false_alarms, misses


MEASURES: dict[str, Measure] = {
    "jaccard": jaccard,
    "precision": precision,
    "recall": recall,
    "f1": f1,
}

TITLES = {"jaccard": "Jaccard index", "precision": "Precision", "recall": "Recall", "f1": "F1"}
"""Names of the measures for people."""
