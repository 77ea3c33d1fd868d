"""Ribbons, confusion and reliability: what they show, as numbers."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.metrics.confusion import confusions
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.segments import runs
from surgstream.trainer.evaluation.report.confusion import draw_confusion
from surgstream.trainer.evaluation.report.reliability import (
    draw_reliability,
    reliability,
    softmax,
)
from surgstream.trainer.evaluation.report.ribbons import (
    Case,
    accuracy,
    choose_cases,
    colour,
    draw_case,
)
from tests.trainer.evaluation.made_up import CLASSES, constant, model


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_runs_spell_the_labels(labels: list[int]) -> None:
    found = runs(np.array(labels))
    assert [labels[rows.start] for rows in found for _ in range(rows.start, rows.stop)] == labels
    assert all(labels[one.start] != labels[two.start] for one, two in itertools.pairwise(found))


@pytest.mark.parametrize(("num_videos", "expected"), [(1, 1), (2, 2), (5, 5), (12, 12), (40, 12)])
def test_cases_are_the_worst_the_best_and_some_between_each_once(
    num_videos: int, expected: int
) -> None:
    models = {"a": model(0.3, num_videos=num_videos), "b": model(0.6, num_videos=num_videos)}
    cases = choose_cases(models)
    names = [case.videos["a"].video for case in cases]
    assert len({*names}) == len(names) == expected
    found = [accuracy(case.videos["a"]) for case in cases]
    assert found == sorted(found)
    everything = sorted(map(accuracy, models["a"]))
    assert found[0] == everything[0] and found[-1] == everything[-1]
    assert names == [case.videos["b"].video for case in choose_cases(models)]


def test_the_pieces_of_a_ribbon_follow_each_other_and_fill_it() -> None:
    (case,) = choose_cases({"<ours>": model(0.2, num_videos=1)})
    page = draw_case(case, CLASSES)
    assert "&lt;ours&gt;" in page and "clipping cutting, from 0:" in page
    truth, predicted = re.findall(r"<svg.*?</svg>", page)
    for svg in (truth, predicted):
        pieces = re.findall(r'x="([\d.]+)" width="([\d.]+)"', svg)
        edges = [(float(x), float(x) + float(width)) for x, width in pieces]
        assert edges[0][0] == 0 and edges[-1][1] == pytest.approx(1000, abs=1)
        for (_, stop), (start, _) in itertools.pairwise(edges):
            assert stop == pytest.approx(start, abs=0.02)
    assert truth.count("<rect") == len(CLASSES) < predicted.count("<rect")


def test_models_that_miss_rows_stand_below_the_truth_at_their_times() -> None:
    (whole,) = model(0.0, num_videos=1)
    late = replace(
        whole, seconds=whole.seconds[60:], truth=whole.truth[60:], predicted=whole.truth[60:]
    )
    page = draw_case(Case(why="worst", videos={"whole": whole, "late": late}), CLASSES)
    *_, last = re.findall(r"<svg.*?</svg>", page)
    edges = [
        (float(x), float(width)) for x, width in re.findall(r'x="([\d.]+)" width="([\d.]+)"', last)
    ]
    assert edges[0][0] == pytest.approx(500) and sum(edges[-1]) == pytest.approx(1000, abs=0.1)
    assert "0:02:00" in page


def test_one_row_fills_a_ribbon() -> None:
    (video,) = model(0.0, num_videos=1)
    one = replace(
        video, seconds=video.seconds[:1], truth=video.truth[:1], predicted=video.truth[:1]
    )
    page = draw_case(Case(why="worst", videos={"m": one}), CLASSES)
    assert page.count('x="0.00" width="1000.00"') == 2


def test_a_hundred_classes_have_colours_of_their_own() -> None:
    assert len({colour(number) for number in range(100)}) == 100


def test_confusion_counts_true_classes_down_and_predicted_ones_across() -> None:
    video = ScoredVideo(
        video="v",
        group="v",
        seconds=np.arange(5.0),
        truth=np.array([0, 0, 0, 2, 2]),
        predicted=np.array([0, 1, 1, 2, 0]),
        scores=None,
    )
    classes = ("a_b", "<c>", "d")
    counts = confusions([video, video], LabelSpace(kind="class", classes=classes)).sum(0)
    assert counts.tolist() == [[2, 4, 0], [0, 0, 0], [2, 0, 2]]
    page = draw_confusion(counts, classes)
    assert "4 of 6 rows of a_b taken for &lt;c&gt;" in page and ">67<" in page and "nan" not in page


def test_a_model_that_means_what_it_says_is_calibrated() -> None:
    draws = np.random.default_rng(0)
    truth = draws.integers(0, 4, 20_000)
    sure = draws.uniform(0.3, 1, len(truth))
    right = draws.uniform(size=len(truth)) < sure
    seen = np.where(right, truth, (truth + 1) % 4)
    scores = np.repeat((1 - sure)[:, None] / 3, 4, 1)
    scores[np.arange(len(truth)), seen] = sure
    video = ScoredVideo(
        video="v", group="v", seconds=np.arange(2e4), truth=truth, predicted=seen, scores=scores
    )
    found = reliability([video])
    assert found and found.by == "as given" and found.error < 0.02
    assert found.num_rows.sum() == len(truth) and np.isnan(found.accuracy[0])
    assert draw_reliability(found).count("<circle") == (found.num_rows > 0).sum()
    assert "nan" not in draw_reliability(found)


def test_logits_become_probabilities_and_labels_alone_have_no_curve() -> None:
    videos = model(0.5)
    found = reliability(videos)
    assert found and found.by == "softmax"
    logits = np.array([[1000.0, 0.0], [0.0, 0.0]])
    assert softmax(logits).tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert reliability(constant(videos, 1)) is None
