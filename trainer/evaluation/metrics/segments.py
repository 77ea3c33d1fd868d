"""Metrics of segments, which see the order of actions rather than their rows: edit score, F1@k, and PitVis' score.

Compare Lea et al., CVPR 2017, and Abu Farha and Gall, "MS-TCN", CVPR 2019.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from surgstream.trainer.evaluation.metrics.confusion import (
    Ints,
    confusions,
    f1,
    in_truth_or_prediction,
    outcomes,
    true_and_predicted,
)
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    mean_over_videos,
    nan_mean,
    pooled,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Segments:
    """The S segments of a video in order.

    Attributes:
        labels: (S,).
        starts: (S,), the first row of each.
        ends: (S,), the row after its last.
    """

    labels: Ints
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.labels)


def runs(labels: Ints) -> list[slice]:
    """The rows of each longest stretch of one label, in order."""
    changes = np.flatnonzero(np.diff(labels)) + 1
    bounds = [0, *changes.tolist(), len(labels)]
    return [slice(start, end) for start, end in itertools.pairwise(bounds) if start < end]


def segments_of(labels: Ints, *, without: Collection[int] = ()) -> Segments:
    """The segments of the labels (n,) of rows, but those of some classes; their neighbours stay apart."""
    kept = [rows for rows in runs(labels) if labels[rows.start] not in without]
    starts = np.array([rows.start for rows in kept], np.int64)
    ends = np.array([rows.stop for rows in kept], np.int64)
    return Segments(labels=labels[starts], starts=starts, ends=ends)


def edit_distance(first: Ints, second: Ints) -> int:
    """The least number of labels to insert, remove or replace to make one sequence the other (Levenshtein)."""
    places = np.arange(len(second) + 1)
    row = places

    for length, label in enumerate(first, 1):
        replaced = row[:-1] + (second != label)
        removed = row[1:] + 1
        before_inserting = np.concatenate([[length], np.minimum(replaced, removed)])

        # To insert k labels costs k: a running minimum of what is left when each place's own cost is taken off.
        row = np.minimum.accumulate(before_inserting - places) + places

    return int(row[-1])


def edit_score(truth: Segments, predicted: Segments) -> float:
    """1 - distance / length of the longer; NaN where neither has a segment."""
    longer = max(len(truth), len(predicted))
    return 1 - edit_distance(truth.labels, predicted.labels) / longer if longer else float("nan")


def segment_outcomes(truth: Segments, predicted: Segments, *, percent: int) -> tuple[int, int, int]:
    """TP, FP and FN of segments.

    One after the other, each predicted segment asks for the true segment of its label that it overlaps most, by
    intersection over union. It is a hit where that is enough and no earlier one has had the true segment.

    Args:
        truth: The true segments.
        predicted: The predicted ones.
        percent: The least overlap of a hit.
    """
    found = set()

    for label, start, end in zip(predicted.labels, predicted.starts, predicted.ends, strict=True):
        # Where two do not meet, the intersection is negative, and no union is asked for.
        intersections = np.minimum(end, truth.ends) - np.maximum(start, truth.starts)
        unions = np.maximum(end, truth.ends) - np.minimum(start, truth.starts)
        overlaps = np.where(truth.labels == label, intersections / unions, 0.0)

        if overlaps.max(initial=0.0) >= percent / 100:
            found.add(int(overlaps.argmax()))

    num_hits = len(found)
    return num_hits, len(predicted) - num_hits, len(truth) - num_hits


def edit(videos: Videos, space: LabelSpace) -> Statistic:
    """The edit score of a video's segments, averaged over videos."""
    scores = [edit_score(*_both(video, space)) for video in videos]
    return _mean(np.array(scores), videos)


def segment_f1(percent: int, videos: Videos, space: LabelSpace) -> Statistic:
    """F1 of a video's segments, averaged over videos."""
    counts = _counts(videos, space, percent)
    return _mean(f1(counts)[:, 0], videos)


def segment_f1_pooled(percent: int, videos: Videos, space: LabelSpace) -> Statistic:
    """F1 of the segments of all videos together, as MS-TCN's script prints it."""
    counts = _counts(videos, space, percent)
    return pooled(
        counts,
        lambda drawn: f1(drawn)[:, 0],
        averaged=f"all segments of {len(videos)} videos",
        undefined=() if counts.any() else ("all videos: nothing but null classes",),
    )


def pitvis(videos: Videos, space: LabelSpace) -> Statistic:
    """The mean of macro F1 and edit score of a video, averaged over videos.

    Rows whose true class is a null class are taken out first, so what they part becomes one segment. F1 is averaged
    over the classes in truth or prediction of the other rows: `zero_division` of the published script plays no part.
    """
    kept = [_without_null_rows(video, space) for video in videos]

    counts = outcomes(confusions(kept, space))
    macro_f1 = nan_mean(np.where(in_truth_or_prediction(counts), f1(counts), np.nan))

    pairs = [map(segments_of, true_and_predicted(video)) for video in kept]
    edits = np.array([edit_score(*pair) for pair in pairs])
    return _mean((macro_f1 + edits) / 2, videos)


def _both(video: ScoredVideo, space: LabelSpace) -> tuple[Segments, Segments]:
    """True and predicted segments without those of null classes, as MS-TCN's script does with its background."""
    truth, predicted = true_and_predicted(video)
    without = space.null_classes
    return segments_of(truth, without=without), segments_of(predicted, without=without)


def _counts(videos: Videos, space: LabelSpace, percent: int) -> Floats:
    """TP, FP and FN of segments of any class: (V, 3, 1)."""
    counts = [segment_outcomes(*_both(video, space), percent=percent) for video in videos]
    return np.array(counts, np.float64)[:, :, None]


def _without_null_rows(video: ScoredVideo, space: LabelSpace) -> ScoredVideo:
    truth, predicted = true_and_predicted(video)
    rows = ~np.isin(truth, space.null_classes)
    return replace(
        video,
        seconds=video.seconds[rows],
        truth=truth[rows],
        predicted=predicted[rows],
        scores=None,
    )


def _mean(scores: Floats, videos: Videos) -> Statistic:
    """The mean over the videos that have a segment or a row left once null classes are gone."""
    undefined = [
        video.video for video, score in zip(videos, scores, strict=True) if np.isnan(score)
    ]
    return mean_over_videos(
        scores,
        averaged=f"{len(videos) - len(undefined)} of {len(videos)} videos",
        undefined=tuple(f"video {video}: nothing but null classes" for video in undefined),
    )


_PERCENTS = (10, 25, 50)

METRICS: dict[str, Metric] = {
    "edit": Metric(title="Edit score", kinds=("class",), compute=edit),
    **{
        f"f1@{percent}": Metric(
            title=f"F1 of segments that overlap by {percent} %, mean over videos",
            kinds=("class",),
            compute=partial(segment_f1, percent),
        )
        for percent in _PERCENTS
    },
    **{
        f"f1@{percent}_pooled": Metric(
            title=f"F1 of segments that overlap by {percent} %, all videos together",
            kinds=("class",),
            compute=partial(segment_f1_pooled, percent),
        )
        for percent in _PERCENTS
    },
    "pitvis": Metric(title="Mean of macro F1 and edit score", kinds=("class",), compute=pitvis),
}
