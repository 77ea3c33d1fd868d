"""Metrics of segments on cases worked out by hand, and against slow restatements."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from surgstream.trainer.evaluation.metrics.segments import (
    METRICS,
    edit_distance,
    edit_score,
    segment_outcomes,
    segments_of,
)
from surgstream.trainer.evaluation.metrics.statistic import value_of
from tests.trainer.evaluation.metrics.made import a_space, a_video, labels, some_videos, value

sequences = st.lists(labels, max_size=8)
rows = st.lists(st.tuples(labels, labels), min_size=1, max_size=30)


def test_segments_by_hand() -> None:
    # True segments 0 1 2 of 4, 4 and 2 rows; predicted ones 0 1 0 1 2 of 3, 1, 1, 3 and 2 rows.
    video = a_video([0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 1, 0, 1, 1, 1, 2, 2])

    # Two are to be removed of five.
    assert value(METRICS["edit"], [video], a_space()) == pytest.approx(1 - 2 / 5)

    # Overlaps: 3/4 of the first; the second, of row 3, and the third, of row 4, meet none of their label; 3/4; 1.
    assert value(METRICS["f1@50"], [video], a_space()) == pytest.approx(2 * 3 / (5 + 3))


def test_a_true_segment_is_hit_once() -> None:
    # Each half of the true segment is predicted: the second is a false alarm.
    video = a_video([0] * 9, [0, 0, 0, 0, 1, 0, 0, 0, 0])
    assert value(METRICS["f1@10"], [video], a_space()) == pytest.approx(2 * 1 / (3 + 1))
    assert value(METRICS["f1@50"], [video], a_space()) == 0


@pytest.mark.parametrize(("percent", "hits"), [(10, 1), (25, 1), (50, 1), (51, 0)])
def test_an_overlap_that_is_just_enough_counts(percent: int, hits: int) -> None:
    truth = segments_of(np.array([0, 0, 1, 1]))
    predicted = segments_of(np.array([0, 2, 2, 2]))
    assert segment_outcomes(truth, predicted, percent=percent) == (hits, 2 - hits, 2 - hits)


def test_scores_of_videos_are_averaged_and_pooled_counts_are_added_up() -> None:
    # 1 of 1 segment, and 0 of 3 true ones with 1 predicted.
    videos = [a_video([0, 0], [0, 0], "a"), a_video([0, 1, 2], [3, 3, 3], "b")]
    assert value(METRICS["f1@10"], videos, a_space()) == pytest.approx((1 + 0) / 2)
    assert value(METRICS["f1@10_pooled"], videos, a_space()) == pytest.approx(2 * 1 / (2 + 4))


def test_null_segments_are_left_out_and_do_not_join_their_neighbours() -> None:
    # Without class 3 both are 0 0; a row of it too many changes the third segment only.
    video = a_video([0, 0, 3, 3, 0, 0], [0, 0, 3, 0, 0, 0])
    space = a_space(null_classes=(3,))
    assert value(METRICS["edit"], [video], space) == 1
    assert value(METRICS["f1@50"], [video], space) == 1


def test_a_video_of_nothing_but_null_classes_has_no_score() -> None:
    videos = [a_video([3, 3], [3, 3], "rest"), a_video([0, 1], [0, 1], "work")]
    statistic = METRICS["edit"].compute(videos, a_space(null_classes=(3,)))

    assert value(METRICS["edit"], videos, a_space(null_classes=(3,))) == 1
    assert statistic.averaged == "1 of 2 videos"
    assert statistic.undefined == ("video rest: nothing but null classes",)

    pooled = METRICS["f1@10_pooled"].compute(videos[:1], a_space(null_classes=(3,)))
    assert np.isnan(value_of(pooled, 1))
    assert pooled.undefined == ("all videos: nothing but null classes",)


def test_pitvis_by_hand() -> None:
    # Rows 2 and 3 are truly null, so 0 0 . . 0 1 against 0 0 . . 2 3 is left, where 3, a null class, is predicted.
    # F1: 4/5 of class 0, 0 of classes 1, 2 and 3. Edit: 0 1 against 0 2 3, two of three wrong.
    video = a_video([0, 0, 3, 3, 0, 1], [0, 0, 1, 1, 2, 3])
    score = value(METRICS["pitvis"], [video], a_space(null_classes=(3,)))
    assert score == pytest.approx((4 / 5 / 4 + 1 / 3) / 2)


@settings(max_examples=30)
@given(videos=some_videos())
def test_without_null_classes_pitvis_is_the_mean_of_macro_f1_and_edit(
    videos: list[ScoredVideo],
) -> None:
    macro = [
        f1_score(video.truth, video.predicted, average="macro", zero_division=1) for video in videos
    ]
    edit = value(METRICS["edit"], videos, a_space())
    ours = value(METRICS["pitvis"], videos, a_space())
    assert ours == pytest.approx((np.mean(macro) + edit) / 2)


@given(first=sequences, second=sequences)
def test_the_edit_distance_equals_a_slow_restatement(first: list[int], second: list[int]) -> None:
    ours = edit_distance(np.array(first, np.int64), np.array(second, np.int64))
    assert ours == slow_distance(tuple(first), tuple(second))


@given(pairs=rows)
def test_the_edit_score_sees_the_order_alone(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    orders = [[label for label, _ in itertools.groupby(row.tolist())] for row in (truth, predicted)]

    distance = slow_distance(*map(tuple, orders))
    score = edit_score(segments_of(truth), segments_of(predicted))
    assert score == pytest.approx(1 - distance / max(map(len, orders)))


@given(pairs=rows, percent=st.sampled_from([10, 25, 50]), without=st.sets(labels))
def test_hits_of_segments_equal_a_slow_restatement(
    pairs: list[tuple[int, int]], percent: int, without: set[int]
) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    ours = segment_outcomes(
        segments_of(truth, without=without),
        segments_of(predicted, without=without),
        percent=percent,
    )
    assert ours == slow_outcomes(truth.tolist(), predicted.tolist(), percent, without)


@cache
def slow_distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    if not first or not second:
        return len(first) + len(second)
    return min(
        slow_distance(first[1:], second) + 1,
        slow_distance(first, second[1:]) + 1,
        slow_distance(first[1:], second[1:]) + (first[0] != second[0]),
    )


def slow_outcomes(
    truth: list[int], predicted: list[int], percent: int, without: set[int]
) -> tuple[int, int, int]:
    """With each segment as the set of its rows."""
    true_segments = slow_segments(truth, without)
    taken: list[set[int]] = []
    num_false_alarms = 0

    for label, segment in slow_segments(predicted, without):
        of_label = [other for true_label, other in true_segments if true_label == label]
        best = max(of_label, key=lambda other: overlap(segment, other), default=set())
        enough = 100 * len(segment & best) >= percent * len(segment | best)

        if enough and best not in taken:
            taken.append(best)
        else:
            num_false_alarms += 1

    return len(taken), num_false_alarms, len(true_segments) - len(taken)


def slow_segments(row: list[int], without: set[int]) -> list[tuple[int, set[int]]]:
    runs = itertools.groupby(range(len(row)), key=lambda number: row[number])
    return [(label, set(numbers)) for label, numbers in runs if label not in without]


def overlap(first: set[int], second: set[int]) -> float:
    return len(first & second) / len(first | second)
