"""Metrics of surgical phases, in each of the ways in which papers average them."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from surgstream.trainer.evaluation.metrics.aggregation import (
    classes_then_videos,
    pooled_then_classes,
    videos_then_classes,
)
from surgstream.trainer.evaluation.metrics.classes import accuracy, num_right
from surgstream.trainer.evaluation.metrics.confusion import (
    MEASURES,
    TITLES,
    Measure,
    confusions,
    f1_of_ratios,
    in_truth,
    in_truth_or_prediction,
    outcomes,
)
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.metrics.statistic import Statistic, mean_over_videos


def video_accuracy(videos: Videos, space: LabelSpace) -> Statistic:
    """The share of a video's rows that are predicted right, averaged over videos."""
    shares = [num_right(video) / video.num_rows for video in videos]
    return mean_over_videos(np.array(shares), averaged=f"{len(videos)} videos")


def phase_mean(measure: Measure, videos: Videos, space: LabelSpace) -> Statistic:
    """The mean over videos whose truth has the phase, then over phases; 0/0 counts as 0."""
    counts = outcomes(confusions(videos, space))
    values = np.nan_to_num(measure(counts))
    return videos_then_classes(np.where(in_truth(counts), values, np.nan), space)


def phase_mean_legacy(measure: Measure, videos: Videos, space: LabelSpace) -> Statistic:
    """As `phase_mean`, but 0/0 is left out of the mean, so that a phase that is never predicted improves precision."""
    counts = outcomes(confusions(videos, space))
    return videos_then_classes(np.where(in_truth(counts), measure(counts), np.nan), space)


def phase_mean_per_video(measure: Measure, videos: Videos, space: LabelSpace) -> Statistic:
    """The mean over the phases of a video's truth, then over videos; 0/0 counts as 0."""
    counts = outcomes(confusions(videos, space))
    values = np.nan_to_num(measure(counts))
    return classes_then_videos(np.where(in_truth(counts), values, np.nan), space)


def phase_mean_present(measure: Measure, videos: Videos, space: LabelSpace) -> Statistic:
    """The mean over the phases of a video's truth or prediction, then over videos; 0/0 counts as 0.

    It is scikit-learn's macro average of each video, with `zero_division=0`.
    """
    counts = outcomes(confusions(videos, space))
    values = np.nan_to_num(measure(counts))
    return classes_then_videos(np.where(in_truth_or_prediction(counts), values, np.nan), space)


def phase_mean_pooled(measure: Measure, videos: Videos, space: LabelSpace) -> Statistic:
    """The mean over phases in truth or prediction of the measure of all rows together; 0/0 counts as 0."""
    return pooled_then_classes(measure, in_truth_or_prediction, videos, space)


def _family(
    name: str,
    title: str,
    average: Callable[[Measure, Videos, LabelSpace], Statistic],
    measures: Mapping[str, Measure] = MEASURES,
) -> dict[str, Metric]:
    return {
        name.format(key): Metric(
            title=title.format(TITLES[key]), kinds=("class",), compute=partial(average, measure)
        )
        for key, measure in measures.items()
    }


_LEGACY_MEASURES = {**MEASURES, "f1": f1_of_ratios}

METRICS: dict[str, Metric] = {
    "image_accuracy": Metric(
        title="Accuracy of all frames together", kinds=("class",), compute=accuracy
    ),
    "video_accuracy": Metric(
        title="Accuracy over videos", kinds=("class",), compute=video_accuracy
    ),
    **_family("phase_{}", "{} over videos, then phases", phase_mean),
    **_family(
        "phase_{}_legacy",
        "{} over videos, then phases, 0/0 left out",
        phase_mean_legacy,
        _LEGACY_MEASURES,
    ),
    **_family("phase_{}_pooled", "{} of all frames together, over phases", phase_mean_pooled),
    **_family("phase_{}_per_video", "{} over phases, then videos", phase_mean_per_video),
    **_family(
        "per_video_macro_present_{}",
        "{} over phases in truth or prediction, then videos",
        phase_mean_present,
    ),
}
