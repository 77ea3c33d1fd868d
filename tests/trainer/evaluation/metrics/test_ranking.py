"""Average precision against scikit-learn and torchmetrics where these are right, and by hand where they are not."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import (
    binary_average_precision,
    multilabel_average_precision,
)

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.ranking import METRICS, average_precision
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import value_of
from tests.trainer.evaluation.metrics.made_videos import (
    CLASSES,
    COARSE,
    TOOLS,
    some_videos,
    video,
)

ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from(COARSE)), min_size=1, max_size=30)
FINE_ROWS = st.lists(st.tuples(st.booleans(), st.floats(-9, 9)), min_size=1, max_size=30)


def present_mean(values: Sequence[float]) -> float:
    """The mean without NaN, NaN of nothing."""
    present = [value for value in values if not math.isnan(value)]
    return statistics.fmean(present) if present else math.nan


def slow_average_precision(truth: Sequence[bool], scores: Sequence[float]) -> float:
    """Go down the distinct scores, and add up what recall gains times precision."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [true for true, score in zip(truth, scores, strict=True) if score >= threshold]
        if any(truth):
            total += (sum(taken) / sum(truth) - recall) * sum(taken) / len(taken)
            recall = sum(taken) / sum(truth)
    return total if any(truth) else math.nan


def columns(
    videos: Sequence[ScoredVideo], number: int, kind: str
) -> list[tuple[list[bool], list[float]]]:
    """Truth and scores of a class in each video."""
    return [
        (
            [
                bool(row[number]) if kind == "multilabel" else bool(row == number)
                for row in each.truth
            ],
            [float(row[number]) for row in each.scores],
        )
        for each in videos
        if each.scores is not None
    ]


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1.0),
        ([0, 0, 1], [0.9, 0.8, 0.1], 1 / 3),
        # Recall rises by a half at rank 1, of precision 1, and by a half at rank 3, of precision 2/3.
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], (1 + 2 / 3) / 2),
        # Of rows of one score none is before the other.
        ([1, 0, 1, 0], [0.9, 0.7, 0.7, 0.6], (1 + 2 / 3) / 2),
        ([0, 1, 1, 0], [0.9, 0.7, 0.7, 0.6], 2 / 3),
        # Where all scores are equal, it is the share of the class.
        ([1, 0, 0, 1, 0], [0.3] * 5, 2 / 5),
        ([1, 0], [-math.inf, -math.inf], 1 / 2),
        ([1], [0.0], 1.0),
        ([0], [0.5], math.nan),
        ([0, 0], [0.9, 0.1], math.nan),
    ],
)
def test_known_rankings(truth: list[int], scores: list[float], expected: float) -> None:
    found = average_precision(np.array(truth, bool), np.array(scores))
    assert found == pytest.approx(expected, nan_ok=True)


@given(st.one_of(ROWS, FINE_ROWS))
def test_where_the_class_is_present_others_agree(rows: list[tuple[bool, float]]) -> None:
    truth, scores = (np.array(column) for column in zip(*rows, strict=True))
    truth[0] = True

    found = average_precision(truth, scores)
    assert found == pytest.approx(average_precision_score(truth, scores))
    assert found == pytest.approx(slow_average_precision(truth.tolist(), scores.tolist()))

    # torchmetrics squashes what is beyond 0 to 1 in float32, which makes close scores equal.
    places = np.unique(scores, return_inverse=True)[1] / len(scores)
    theirs = binary_average_precision(torch.tensor(places), torch.tensor(truth).long())
    assert found == pytest.approx(theirs.item(), abs=1e-5)


@pytest.mark.filterwarnings("ignore:No positive")
def test_others_count_a_class_that_is_nowhere_as_a_failure() -> None:
    truth = np.array([[1, 0], [0, 0], [1, 0]], bool)
    scores = np.array([[0.9, 0.1], [0.2, 0.2], [0.8, 0.3]])

    torchs = multilabel_average_precision(
        torch.tensor(scores), torch.tensor(truth).long(), num_labels=2, average="macro"
    )
    assert torchs.item() == 0.5
    assert average_precision_score(truth, scores, average="macro") == 0.5

    labels = LabelSpace(kind="multilabel", classes=("hook", "bag"))
    for metric in METRICS.values():
        statistic = metric.compute([video(truth, scores=scores)], labels)
        assert value_of(statistic, 1) == 1.0
        assert statistic.per_class == pytest.approx({"hook": 1.0, "bag": math.nan}, nan_ok=True)
        assert statistic.undefined == ("bag: in no video",)
        assert statistic.averaged.startswith("1 classes over ")


@pytest.mark.parametrize("labels", [CLASSES, TOOLS], ids=["class", "multilabel"])
@given(data=st.data())
def test_map_pools_rows_then_averages_classes(data: st.DataObject, labels: LabelSpace) -> None:
    videos = data.draw(some_videos(labels.kind, 3))
    statistic = METRICS["map"].compute(videos, labels)

    expected = {}
    for number, name in enumerate(labels.classes):
        pairs = columns(videos, number, labels.kind)
        expected[name] = slow_average_precision(
            [true for truth, _ in pairs for true in truth],
            [score for _, scores in pairs for score in scores],
        )

    assert statistic.per_class == pytest.approx(expected, nan_ok=True)
    assert value_of(statistic, len(videos)) == pytest.approx(
        present_mean(list(expected.values())), nan_ok=True
    )


@pytest.mark.parametrize("labels", [CLASSES, TOOLS], ids=["class", "multilabel"])
@given(data=st.data())
def test_map_per_video_averages_videos_then_classes(
    data: st.DataObject, labels: LabelSpace
) -> None:
    videos = data.draw(some_videos(labels.kind, 3))
    statistic = METRICS["map_per_video"].compute(videos, labels)

    expected = {
        name: present_mean(
            [slow_average_precision(*pair) for pair in columns(videos, number, labels.kind)]
        )
        for number, name in enumerate(labels.classes)
    }

    assert statistic.per_class == pytest.approx(expected, nan_ok=True)
    assert value_of(statistic, len(videos)) == pytest.approx(
        present_mean(list(expected.values())), nan_ok=True
    )


def test_a_long_video_weighs_more_over_rows_only() -> None:
    # Right in ten rows of the one video, wrong in the other's two.
    right = video([0] * 5 + [1] * 5, scores=np.eye(2)[[0] * 5 + [1] * 5], name="long")
    wrong = video([0, 1], scores=np.eye(2)[[1, 0]], name="short")
    labels = LabelSpace(kind="class", classes=("cut", "sew"))

    pooled = METRICS["map"].compute([right, wrong], labels)
    by_video = METRICS["map_per_video"].compute([right, wrong], labels)

    # Five of the six highest rows are right; the sixth is among the rest.
    assert value_of(pooled, 2) == pytest.approx(5 / 6 * 5 / 6 + 1 / 6 * 6 / 12)
    assert value_of(by_video, 2) == pytest.approx((1 + 0.5) / 2)
    assert pooled.averaged == "2 classes over 12 rows of 2 videos"
    assert by_video.averaged == "2 classes over 2 videos, of 4 values"
    for statistic in (pooled, by_video):
        assert statistic.per_video is not None
        assert statistic.per_video.tolist() == [1.0, 0.5]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_labels_without_scores_cannot_be_ranked(metric: Metric) -> None:
    with pytest.raises(MetricError, match=r"video b: expected scores .*; give a score"):
        metric.compute([video([0, 1], predicted=[0, 1], name="b")], CLASSES)
