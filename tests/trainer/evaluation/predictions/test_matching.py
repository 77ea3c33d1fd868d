"""Predictions and labels, matched by time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.common import on_common_rows
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions

SPACE = LabelSpace(kind="class", classes=("a", "b"))


def asked(*, groups: dict[str, str] | None = None, **lengths: int) -> Asked:
    videos = {
        name: TrueRows(np.arange(float(length)), np.arange(length) % 2)
        for name, length in lengths.items()
    }
    return Asked(
        split="test",
        videos=videos,
        others=frozenset({"of_train"}),
        groups=groups or {},
        row_seconds=1.0,
    )


def predictions(classes: tuple[str, ...] = ("a", "b"), **seconds: object) -> Predictions:
    videos = {}
    for name, times in seconds.items():
        found = np.array(times, np.float64)
        # What is predicted says when: rows of scores are (time, 0).
        scores = np.stack([found, np.zeros(len(found))], 1)
        videos[name] = PredictedVideo(seconds=found, scores=scores)
    return Predictions(where="p.csv", classes=classes, videos=videos)


def chosen(video: Any) -> list[float]:
    times: list[float] = video.scores[:, 0].tolist()
    return times


def test_each_labelled_row_takes_the_nearest_prediction() -> None:
    (video,), told = match(predictions(v=[0.04, 0.4, 1.04, 1.96, 2.5]), asked(v=3), SPACE)
    assert chosen(video) == [0.04, 1.04, 1.96] and told == []
    assert video.truth.tolist() == [0, 1, 0] and video.seconds.tolist() == [0, 1, 2]


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(1, 30))
def test_what_is_matched_is_what_a_plain_search_finds(times: set[int], length: int) -> None:
    at = sorted(time / 10 for time in times)
    expected = {}
    for second in range(length):
        nearest = min(at, key=lambda time: (abs(time - second), time))
        if abs(nearest - second) <= 0.501:
            expected[second] = nearest
    few = length - len(expected) <= max(min(2, length // 10), length / 100)
    if few:
        (video,), told = match(predictions(v=at), asked(v=length), SPACE)
        assert dict(zip(video.seconds.tolist(), chosen(video), strict=True)) == expected
        missing = any("labelled rows have no prediction" in sentence for sentence in told)
        assert missing == (len(expected) < length)
        num_far = sum(min(abs(time - second) for second in range(length)) > 0.501 for time in at)
        far = [sentence for sentence in told if "are at no labelled row" in sentence]
        assert [sentence.split()[0] for sentence in far] == [f"{num_far}"] * bool(num_far)
    else:
        with pytest.raises(EvaluationError, match="expected a prediction for each labelled row"):
            match(predictions(v=at), asked(v=length), SPACE)


def test_the_order_of_classes_is_that_of_the_task() -> None:
    rows = PredictedVideo(seconds=np.arange(2.0), scores=np.array([[0.9, 0.1], [0.2, 0.8]]))
    labels = PredictedVideo(seconds=np.arange(2.0), predicted=np.array([0, 1]))
    for video in (rows, labels):
        found = Predictions(where="p.csv", classes=("b", "a"), videos={"v": video})
        ((matched,), _) = match(found, asked(v=2), SPACE)
        assert matched.predicted is not None and matched.predicted.tolist() == [1, 0]
    assert match(found, asked(v=2), SPACE)[0][0].scores is None


def test_videos_come_by_their_ids_with_their_groups_and_others_are_told() -> None:
    found = predictions(b=[0], a=[0, 1], of_train=[0], other=[0])
    videos, told = match(found, asked(a=2, b=1, groups={"b": "surgeon 3"}), SPACE)
    assert [(video.video, video.group) for video in videos] == [("a", "a"), ("b", "surgeon 3")]
    assert told == [
        "1 videos of another split than test do not count",
        "videos that are in no split of the task do not count: other",
    ]


def test_a_row_or_two_without_a_prediction_are_told() -> None:
    (video,), told = match(predictions(v=range(18)), asked(v=20), SPACE)
    assert video.num_rows == 18
    assert told == [
        "p.csv: v: 2 of 20 labelled rows have no prediction and do not count, from second 18"
    ]


def test_predictions_at_no_labelled_row_are_told_once_for_all_videos() -> None:
    found = predictions(a=[0, 1, 2, 3], b=[0], c=[0, 50])
    _, told = match(found, asked(a=2, b=1, c=1), SPACE)
    assert told == [
        "3 predictions are at no labelled row and do not count, in 2 of 3 videos, the first in a at "
        "second 2"
    ]


@pytest.mark.parametrize(("score", "is_told"), [(1.0, True), (0.5, False)])
def test_labels_that_stand_for_scores_are_told(score: float, is_told: bool) -> None:
    several = LabelSpace(kind="multilabel", classes=("a", "b"))
    rows = PredictedVideo(seconds=np.zeros(1), scores=np.array([[0.0, score]]))
    found = Predictions(where="p.csv", classes=("a", "b"), videos={"v": rows})
    _, told = match(found, asked(v=1), several)
    assert any("labels alone were predicted" in sentence for sentence in told) == is_told


def test_a_video_that_is_there_is_no_hint_at_one_that_is_missing() -> None:
    with pytest.raises(EvaluationError) as error:
        match(predictions(video01=[0]), asked(video01=1, video02=1), SPACE)
    assert str(error.value).endswith("video02 has none")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (predictions(vid02=[0]), "2 videos of the test split, video01 has none; did you mean 'vid"),
        (
            predictions(video01=[0], video02=[0, 5, 10, 15, 20]),
            "video02: expected a prediction for each labelled row, got none for 16 of 20 labelled rows, "
            "the first of them at second 1; predict every 1 s",
        ),
        (
            predictions(("a", "c"), video01=[0]),
            "expected the classes of the task, got 'c', which it has not",
        ),
        (predictions(("a",), video01=[0]), "expected the classes of the task, got none of 'b'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(found: Predictions, message: str) -> None:
    with pytest.raises(EvaluationError) as error:
        match(found, asked(video01=1, video02=20), SPACE)
    assert str(error.value).startswith("p.csv: ") and message in str(error.value)


def test_a_video_as_a_whole_has_one_row_whatever_its_time() -> None:
    of_videos = Asked(
        split="test",
        videos={"v": TrueRows(np.zeros(1), np.array([1]))},
        others=frozenset(),
        groups={},
        row_seconds=0.0,
    )
    ((video,), _) = match(predictions(v=[7.0]), of_videos, SPACE)
    assert video.num_rows == 1
    with pytest.raises(EvaluationError, match="v: expected one row, got 2"):
        match(predictions(v=[0, 1]), of_videos, SPACE)


def test_models_are_compared_on_the_rows_that_all_have() -> None:
    first, _ = match(predictions(v=range(1, 20), w=range(30)), asked(v=20, w=30), SPACE)
    second, _ = match(predictions(v=range(19), w=range(30)), asked(v=20, w=30), SPACE)
    ours, theirs = on_common_rows([first, second])
    for video in (ours[0], theirs[0]):
        assert video.seconds.tolist() == chosen(video) == [*range(1, 19)]
        assert video.truth.tolist() == [second % 2 for second in range(1, 19)]
    assert ours[1] is first[1] and on_common_rows([first]) == [first]
