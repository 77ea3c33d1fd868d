"""Metrics of rows that stand for themselves, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from surgstream.trainer.evaluation.metrics.classes import METRICS
from surgstream.trainer.evaluation.metrics.confusion import true_and_predicted
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from tests.trainer.evaluation.metrics.made import a_space, a_video, some_videos, value


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn.metrics")
@settings(max_examples=30)
@given(videos=some_videos(max_videos=8, max_rows=4))
def test_clips_are_scored_as_scikit_learn_does(videos: list[ScoredVideo]) -> None:
    pairs = [true_and_predicted(video) for video in videos]
    truth, predicted = (np.concatenate(column) for column in zip(*pairs, strict=True))

    ours = {name: value(metric, videos, a_space()) for name, metric in METRICS.items()}

    assert ours["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert ours["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert ours["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_a_constant_predictor_is_as_good_as_its_class_is_frequent() -> None:
    clips = [a_video([label], [0], f"clip {n}") for n, label in enumerate([0, 0, 0, 1, 2])]
    assert value(METRICS["accuracy"], clips, a_space()) == pytest.approx(3 / 5)
    assert value(METRICS["balanced_accuracy"], clips, a_space()) == pytest.approx(1 / 3)
    assert value(METRICS["macro_f1"], clips, a_space()) == pytest.approx((6 / 8 + 0 + 0) / 3)


def test_what_was_averaged_and_left_out_is_told() -> None:
    clips = [a_video([0], [0], "a"), a_video([1], [2], "b")]

    accuracy = METRICS["accuracy"].compute(clips, a_space())
    assert accuracy.averaged == "2 rows of 2 videos"

    # Class 2 is in the prediction alone: it counts in F1, not in the mean of recalls.
    macro = METRICS["macro_f1"].compute(clips, a_space())
    assert macro.per_class == pytest.approx(
        {"phase 0": 1, "phase 1": 0, "phase 2": 0, "phase 3": np.nan}, nan_ok=True
    )
    balanced = METRICS["balanced_accuracy"].compute(clips, a_space())
    assert balanced.averaged == "2 classes over all rows of 2 videos"
    assert balanced.undefined == (
        "phase 2: undefined, as it has no rows",
        "phase 3: undefined, as it has no rows",
    )
