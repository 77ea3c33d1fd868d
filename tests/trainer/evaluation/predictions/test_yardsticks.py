"""Yardsticks: what needs no encoder."""

import numpy as np
import pytest

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.predictions.yardsticks import is_constant, yardsticks

PHASES = LabelSpace(kind="class", classes=("early", "middle", "late"))
TOOLS = LabelSpace(kind="multilabel", classes=("hook", "grasper"))
SCORE = LabelSpace(kind="number")


def phases(length: int) -> TrueRows:
    """A tenth of a video, eight tenths, a tenth."""
    share = np.arange(length) / length
    return TrueRows(np.arange(float(length)), np.digitize(share, [0.1, 0.9]))


def video(rows: TrueRows, name: str = "v") -> ScoredVideo:
    return ScoredVideo(
        video=name,
        group=name,
        seconds=rows.seconds,
        truth=rows.truth,
        predicted=np.zeros(len(rows.truth), int),
        scores=None,
    )


def made(train: list[TrueRows] | None, test: TrueRows, space: LabelSpace) -> dict[str, ScoredVideo]:
    found = yardsticks(train, {"v": video(test)}, space)
    return {name: videos[0] for name, videos in found.items()}


def test_the_constant_is_the_most_frequent_training_class() -> None:
    found = made([phases(100), phases(1000)], phases(50), PHASES)
    assert found["constant"].predicted is not None
    assert found["constant"].predicted.tolist() == [1] * 50
    assert is_constant([found["constant"]]) and not is_constant([found["time alone"]])


def test_time_alone_knows_phases_that_always_come_at_the_same_share_of_a_video() -> None:
    found = made([phases(700), phases(1000)], phases(300), PHASES)["time alone"]
    assert found.predicted is not None
    assert np.mean(found.predicted == phases(300).truth) > 0.98


def test_chance_draws_from_the_training_rows_and_always_the_same() -> None:
    once, again = (made([phases(1000)], phases(5000), PHASES)["chance"] for _ in range(2))
    assert once.predicted is not None and again.predicted is not None
    assert once.predicted.tolist() == again.predicted.tolist()
    shares = np.bincount(once.predicted, minlength=3) / 5000
    assert shares == pytest.approx([0.1, 0.8, 0.1], abs=0.02)


def test_without_training_labels_there_is_even_chance_alone() -> None:
    (name, found), *others = made(None, phases(5000), PHASES).items()
    assert "alike" in name and not others and found.predicted is not None
    assert np.bincount(found.predicted) / 5000 == pytest.approx([1 / 3] * 3, abs=0.03)
    assert made(None, TrueRows(np.zeros(1), np.array([3.0])), SCORE) == {}


def test_several_labels_are_scored_by_how_often_each_occurs() -> None:
    rows = TrueRows(np.arange(4.0), np.array([[1, 0], [1, 0], [1, 1], [1, 0]], bool))
    found = made([rows], rows, TOOLS)
    scores = found["constant"].scores
    assert scores is not None and scores.tolist() == [[1.0, 0.25]] * 4
    assert found["chance"].scores is not None and found["chance"].predicted is None
    even = made(None, rows, TOOLS)
    (alike,) = even.values()
    assert alike.scores is not None and len(np.unique(alike.scores)) == 8


def test_the_constant_number_is_the_median_and_whole_videos_have_no_time() -> None:
    train = [TrueRows(np.zeros(1), np.array([value])) for value in (1.0, 2.0, 30.0)]
    found = made(train, TrueRows(np.zeros(1), np.array([5.0])), SCORE)
    assert {*found} == {"constant", "chance"}
    assert found["constant"].predicted is not None
    assert found["constant"].predicted.tolist() == [2.0]
