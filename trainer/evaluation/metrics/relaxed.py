"""Phase metrics with tolerance at the ends of segments, from the M2CAI 2016 workflow challenge.

In the first 10 s of a true segment some other phases count as right, as the one before may still be seen, and in its
last 10 s others. The published script, `Evaluate.m`, has three faults, which `relaxed_legacy_*` repeats for comparison:

* What is allowed in the last rows is looked up there, but forgiven in the first rows of the segment.
* A row that is right for one phase and predicted as another counts as TP of both, so TP may exceed the rows of a phase
  or its predictions. Precision and recall are cut off at 1, even where a phase is never predicted.
* A precision of 0/0 is left out of the mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from surgstream.trainer.evaluation.metrics.aggregation import videos_then_classes
from surgstream.trainer.evaluation.metrics.confusion import TITLES, Bools, ratio, true_and_predicted
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.segments import runs
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    mean_over_videos,
)

TOLERANCE_SECONDS = 10.0

_ROUNDING = 1e-6
"""Seconds by which sums of times are off at most."""

Right = Callable[[ScoredVideo, LabelSpace], Bools]
"""Which rows (n,) count as right."""


def right_rows(video: ScoredVideo, space: LabelSpace) -> Bools:
    """Which rows are right, or within 10 s of an end of their segment and allowed there."""
    truth, predicted = true_and_predicted(video)
    right: Bools = truth == predicted

    for rows in runs(truth):
        late, early = _allowed(rows, video, space)
        seconds = video.seconds[rows]
        in_first = seconds - seconds[0] < TOLERANCE_SECONDS - _ROUNDING
        in_last = seconds[-1] - seconds < TOLERANCE_SECONDS - _ROUNDING
        right[rows] |= late & in_first | early & in_last

    return right


def right_rows_legacy(video: ScoredVideo, space: LabelSpace, *, fps: float = 1.0) -> Bools:
    """Which rows the published script has as right.

    Args:
        video: The video.
        space: What classes there are, and which are allowed where.
        fps: Rows a second that the script is told. Some have told it 25, of videos, with one row a second, which makes
            250 s of tolerance.
    """
    truth, predicted = true_and_predicted(video)
    right: Bools = truth == predicted

    for rows in runs(truth):
        late, early = _allowed(rows, video, space)
        num_rows = min(round(TOLERANCE_SECONDS * fps), len(late))
        first = slice(rows.start, rows.start + num_rows)

        # The fault: what the last rows allow is forgiven in the first.
        right[first] |= late[:num_rows] | early[len(early) - num_rows :]

    return right


def _allowed(rows: slice, video: ScoredVideo, space: LabelSpace) -> tuple[Bools, Bools]:
    """Which rows of a true segment hold a class that may be late, and one that may be early."""
    truth, predicted = true_and_predicted(video)
    label = int(truth[rows.start])
    late = np.isin(predicted[rows], space.late.get(label, ()))
    early = np.isin(predicted[rows], space.early.get(label, ()))
    return late, early


@dataclass(frozen=True, eq=False, kw_only=True)
class RelaxedCounts:
    """Rows of each video and class, (V, C) each.

    Attributes:
        truth: Those whose true class it is.
        predicted: Those predicted as it.
        both: Those that are both.
        right_of_truth: Those of `truth` that count as right.
        right_of_predicted: Those of `predicted` that count as right, though their true class may be another.
    """

    truth: Floats
    predicted: Floats
    both: Floats
    right_of_truth: Floats
    right_of_predicted: Floats

    @property
    def either(self) -> Floats:
        """Those whose true class it is or that are predicted as it."""
        return self.truth + self.predicted - self.both

    @property
    def right_of_either(self) -> Floats:
        """Those of `either` that count as right: TP of the script."""
        return self.right_of_truth + self.right_of_predicted - self.both


def _count(videos: Videos, space: LabelSpace, right_of: Right) -> RelaxedCounts:
    tables = []

    for video in videos:
        truth, predicted = true_and_predicted(video)
        right = right_of(video, space)
        rows_of = (truth, predicted, truth[truth == predicted], truth[right], predicted[right])
        tables.append([np.bincount(rows, minlength=len(space.classes)) for rows in rows_of])

    truths, predictions, both, right_of_truth, right_of_predicted = np.moveaxis(
        np.array(tables, np.float64), 1, 0
    )
    return RelaxedCounts(
        truth=truths,
        predicted=predictions,
        both=both,
        right_of_truth=right_of_truth,
        right_of_predicted=right_of_predicted,
    )


def jaccard(counts: RelaxedCounts) -> Floats:
    """Right rows among those of truth or prediction; the same in both forms."""
    return ratio(counts.right_of_either, counts.either)


def precision(counts: RelaxedCounts) -> Floats:
    """Right rows among those predicted; 0/0 is 0."""
    return np.nan_to_num(ratio(counts.right_of_predicted, counts.predicted))


def recall(counts: RelaxedCounts) -> Floats:
    """Right rows among those of truth."""
    return ratio(counts.right_of_truth, counts.truth)


def precision_legacy(counts: RelaxedCounts) -> Floats:
    """TP over the rows predicted, at most 1; 0/0 is NaN."""
    return _cut_off(counts.right_of_either, counts.predicted)


def recall_legacy(counts: RelaxedCounts) -> Floats:
    """TP over the rows of truth, at most 1."""
    return _cut_off(counts.right_of_either, counts.truth)


def _cut_off(hits: Floats, rows: Floats) -> Floats:
    """The ratio, and 1 where it exceeds that, as it does where there are hits and no rows."""
    return np.where(hits > rows, 1.0, ratio(hits, rows))


def phase_mean(
    measure: Callable[[RelaxedCounts], Floats], right_of: Right, videos: Videos, space: LabelSpace
) -> Statistic:
    """The mean over videos whose truth has the phase, then over phases."""
    if not (space.late or space.early):
        return _undefined(videos)

    counts = _count(videos, space, right_of)
    return videos_then_classes(np.where(counts.truth > 0, measure(counts), np.nan), space)


def video_accuracy(right_of: Right, videos: Videos, space: LabelSpace) -> Statistic:
    """The share of a video's rows that count as right, averaged over videos."""
    if not (space.late or space.early):
        return _undefined(videos)

    shares = [right_of(video, space).mean() for video in videos]
    return mean_over_videos(np.array(shares), averaged=f"{len(videos)} videos")


def _undefined(videos: Videos) -> Statistic:
    return mean_over_videos(
        np.full(len(videos), np.nan),
        averaged="no video",
        undefined=("the task names no classes that may be predicted late or early",),
    )


def _family(
    name: str,
    title: str,
    right_of: Right,
    measures: Mapping[str, Callable[[RelaxedCounts], Floats]],
) -> dict[str, Metric]:
    phases = {
        name.format(key): Metric(
            title=title.format(TITLES[key]),
            kinds=("class",),
            compute=partial(phase_mean, measure, right_of),
        )
        for key, measure in measures.items()
    }
    accuracy = Metric(
        title=title.format("Accuracy"),
        kinds=("class",),
        compute=partial(video_accuracy, right_of),
    )
    return {**phases, name.format("accuracy"): accuracy}


METRICS: dict[str, Metric] = {
    **_family(
        "relaxed_{}",
        "{}, 10 s relaxed",
        right_rows,
        {"jaccard": jaccard, "precision": precision, "recall": recall},
    ),
    **_family(
        "relaxed_legacy_{}",
        "{}, 10 s relaxed, as the M2CAI16 script has it",
        right_rows_legacy,
        {"jaccard": jaccard, "precision": precision_legacy, "recall": recall_legacy},
    ),
}
