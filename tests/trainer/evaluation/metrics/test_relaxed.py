"""The relaxed phase metrics, mended and as published, on a case worked out by hand and against a slow restatement."""

from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.metrics import phases
from surgstream.trainer.evaluation.metrics.relaxed import (
    METRICS,
    right_rows,
    right_rows_legacy,
    video_accuracy,
)
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import value_of
from tests.trainer.evaluation.metrics.made import a_space, a_video, some_videos, value

# Three segments, of 3, 24 and 3 s. Phase 1 is true from second 3 to 26; its first 10 s end with second 12, its last
# 10 s begin with second 17. The others are so short that all of their seconds are among the first and the last ten.
#
# second   true  predicted  mended                          published script
#   2       0     1          right: early                    right: early
#   3       1     0          right: late                     right: late
#  11       1     2          wrong: too soon to be early     right: forgiven for second 25, 14 s later
#  15       1     0          wrong: too late to be late      wrong
#  25, 26   1     2          right: early                    wrong: seconds 11 and 12 are forgiven for them
#  28       2     1          right: late                     right: late
#   others        as is true
TRUTH = [0] * 3 + [1] * 24 + [2] * 3
CHANGES = {2: 1, 3: 0, 11: 2, 15: 0, 25: 2, 26: 2, 28: 1}
PREDICTED = [CHANGES.get(second, label) for second, label in enumerate(TRUTH)]
VIDEO = a_video(TRUTH, PREDICTED)

# Rows                        phase 0   phase 1   phase 2
#   of truth                  3         24        3
#   predicted                 4         21        5
#   both                      2         19        2
#   of either                 5         26        6
# Right, mended
#   of truth                  3         22        3         without 11 and 15
#   predicted                 3         21        4         without 15; all; without 11
#   of either                 4         24        5         their sum without both
# Right, published script
#   of truth                  3         21        3         without 15, 25 and 26
#   predicted                 3         21        3         without 15; all; without 25 and 26
#   of either: its TP         4         23        4         over 3 of truth, and 23 over 21 predicted: cut off at 1
BY_HAND = {
    "relaxed_jaccard": [Fraction(4, 5), Fraction(24, 26), Fraction(5, 6)],
    "relaxed_precision": [Fraction(3, 4), Fraction(21, 21), Fraction(4, 5)],
    "relaxed_recall": [Fraction(3, 3), Fraction(22, 24), Fraction(3, 3)],
    "relaxed_accuracy": [Fraction(28, 30)],
    "relaxed_legacy_jaccard": [Fraction(4, 5), Fraction(23, 26), Fraction(4, 6)],
    "relaxed_legacy_precision": [Fraction(4, 4), Fraction(1), Fraction(4, 5)],
    "relaxed_legacy_recall": [Fraction(1), Fraction(23, 24), Fraction(1)],
    "relaxed_legacy_accuracy": [Fraction(27, 30)],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_case_worked_out_by_hand(name: str) -> None:
    expected = sum(BY_HAND[name]) / len(BY_HAND[name])
    assert value(METRICS[name], [VIDEO], a_space(3)) == pytest.approx(float(expected))


def test_25_fps_told_of_one_row_a_second_forgives_whole_segments() -> None:
    told = partial(video_accuracy, partial(right_rows_legacy, fps=25))
    assert value_of(told([VIDEO], a_space(3)), 1) == 1


def test_ten_seconds_are_ten_seconds_at_any_rate() -> None:
    # At 25 rows a second the late prediction is right for 250 rows. Its times are off by what floats are.
    truth = [1] * 1000
    seconds = np.arange(1000.0) * 0.04 + 0.2
    video = replace(a_video(truth, [0] * 300 + [1] * 700), seconds=seconds)
    assert np.flatnonzero(~right_rows(video, a_space())).tolist() == list(range(250, 300))


def test_the_legacy_form_makes_full_marks_of_a_phase_that_is_never_predicted() -> None:
    # Phase 1 is true for 2 s, and phase 0, which may be late there, is predicted: 2 hits among 0 predictions.
    late = [a_video([0, 0, 1, 1], [0, 0, 0, 0])]
    statistic = METRICS["relaxed_legacy_precision"].compute(late, a_space())
    assert statistic.per_class["phase 1"] == 1
    statistic = METRICS["relaxed_precision"].compute(late, a_space())
    assert statistic.per_class["phase 1"] == 0

    # Phase 2 instead of phase 0 is not allowed: 0/0, which the legacy form leaves out.
    wrong = [a_video([0, 0, 1, 1], [2, 2, 1, 1])]
    statistic = METRICS["relaxed_legacy_precision"].compute(wrong, a_space())
    assert np.isnan(statistic.per_class["phase 0"])
    statistic = METRICS["relaxed_precision"].compute(wrong, a_space())
    assert statistic.per_class["phase 0"] == 0


@pytest.mark.parametrize("name", METRICS)
def test_a_task_that_names_no_neighbours_has_no_relaxed_values(name: str) -> None:
    space = LabelSpace(kind="class", classes=("phase 0", "phase 1", "phase 2"))
    statistic = METRICS[name].compute([VIDEO, VIDEO], space)

    assert np.isnan(value_of(statistic, 2))
    assert statistic.undefined == ("the task names no classes that may be predicted late or early",)


@pytest.mark.parametrize("measure", ["jaccard", "precision", "recall"])
@given(videos=some_videos())
def test_relaxed_values_are_those_of_phases_or_higher(
    measure: str, videos: list[ScoredVideo]
) -> None:
    strict = value(phases.METRICS[f"phase_{measure}"], videos, a_space())
    assert value(METRICS[f"relaxed_{measure}"], videos, a_space()) >= strict - 1e-12

    # Who may be late or early in no segment of theirs is forgiven nothing.
    never = replace(a_space(), late={0: ()}, early={})
    assert value(METRICS[f"relaxed_{measure}"], videos, never) == pytest.approx(strict)


labels = st.integers(0, 3)

long_segments = st.lists(st.tuples(labels, st.integers(1, 25)), min_size=1, max_size=4).map(
    lambda runs: [label for label, length in runs for _ in range(length)]
)


@given(truth=long_segments, data=st.data(), fps=st.sampled_from([1, 25]))
def test_the_legacy_rows_follow_the_rules_of_the_published_script(
    truth: list[int], data: st.DataObject, fps: int
) -> None:
    predicted = data.draw(st.lists(labels, min_size=len(truth), max_size=len(truth)))
    video = a_video(truth, predicted)

    right = right_rows_legacy(video, a_space(), fps=fps)

    assert right.tolist() == slow_legacy(truth, predicted, fps)


@given(truth=long_segments, data=st.data())
def test_the_mended_rows_look_where_they_forgive(truth: list[int], data: st.DataObject) -> None:
    predicted = data.draw(st.lists(labels, min_size=len(truth), max_size=len(truth)))
    video = a_video(truth, predicted)

    assert right_rows(video, a_space()).tolist() == slow_mended(truth, predicted)


def slow_legacy(truth: list[int], predicted: list[int], fps: int) -> list[bool]:
    """Differences of phase numbers, set to 0 where the script forgives them; the space's neighbours are 1 apart."""
    differences = [guess - label for guess, label in zip(predicted, truth, strict=True)]
    forgiven = list(differences)

    for start, end in slow_runs(truth):
        length = min(10 * fps, end - start)
        for place in range(length):
            if differences[start + place] == -1 or differences[end - length + place] == 1:
                forgiven[start + place] = 0

    return [difference == 0 for difference in forgiven]


def slow_mended(truth: list[int], predicted: list[int]) -> list[bool]:
    right = []
    for start, end in slow_runs(truth):
        for row in range(start, end):
            difference = predicted[row] - truth[row]
            late = difference == -1 and row - start < 10
            early = difference == 1 and end - 1 - row < 10
            right.append(difference == 0 or late or early)
    return right


def slow_runs(truth: list[int]) -> list[tuple[int, int]]:
    bounds = [row for row in range(1, len(truth)) if truth[row] != truth[row - 1]]
    return list(zip([0, *bounds], [*bounds, len(truth)], strict=True))
