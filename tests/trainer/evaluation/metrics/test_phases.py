"""Phase metrics on a case worked out by hand, against scikit-learn where it is right, and where it is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.classification import MulticlassJaccardIndex

from surgstream.trainer.evaluation.metrics.aggregation import spread
from surgstream.trainer.evaluation.metrics.confusion import confusions, true_and_predicted
from surgstream.trainer.evaluation.metrics.phases import METRICS
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from tests.trainer.evaluation.metrics.made import NUM_CLASSES, a_space, a_video, some_videos, value

# TP, FP, FN  phase 0   phase 1   phase 2   phase 3
# video a     1, 0, 1   2, 1, 0   0, 0, 0   0, 0, 0
# video b     4, 0, 1   0, 0, 0   0, 1, 0   0, 0, 0
# together    5, 0, 2   2, 1, 0   0, 1, 0   0, 0, 0
VIDEOS = [
    a_video([0, 0, 1, 1], [0, 1, 1, 1], "a"),
    a_video([0, 0, 0, 0, 0], [0, 0, 0, 0, 2], "b"),
]

BY_HAND = {
    "image_accuracy": 7 / 9,
    "video_accuracy": (3 / 4 + 4 / 5) / 2,
    # Phase 0 in two videos, phase 1 in one.
    "phase_jaccard": ((1 / 2 + 4 / 5) / 2 + 2 / 3) / 2,
    "phase_precision": (1 + 2 / 3) / 2,
    "phase_recall": ((1 / 2 + 4 / 5) / 2 + 1) / 2,
    "phase_f1": ((2 / 3 + 8 / 9) / 2 + 4 / 5) / 2,
    # Phase 2 is predicted, so it counts, as 0.
    "phase_jaccard_pooled": (5 / 7 + 2 / 3 + 0) / 3,
    "phase_precision_pooled": (1 + 2 / 3 + 0) / 3,
    "phase_recall_pooled": (5 / 7 + 1 + 0) / 3,
    "phase_f1_pooled": (10 / 12 + 4 / 5 + 0) / 3,
    # Phases 0 and 1 of video a, phase 0 of video b.
    "phase_jaccard_per_video": ((1 / 2 + 2 / 3) / 2 + 4 / 5) / 2,
    "phase_precision_per_video": ((1 + 2 / 3) / 2 + 1) / 2,
    "phase_recall_per_video": ((1 / 2 + 1) / 2 + 4 / 5) / 2,
    "phase_f1_per_video": ((2 / 3 + 4 / 5) / 2 + 8 / 9) / 2,
    # Phases 0 and 2 of video b.
    "per_video_macro_present_jaccard": ((1 / 2 + 2 / 3) / 2 + (4 / 5 + 0) / 2) / 2,
    "per_video_macro_present_precision": ((1 + 2 / 3) / 2 + (1 + 0) / 2) / 2,
    "per_video_macro_present_recall": ((1 / 2 + 1) / 2 + (4 / 5 + 0) / 2) / 2,
    "per_video_macro_present_f1": ((2 / 3 + 4 / 5) / 2 + (8 / 9 + 0) / 2) / 2,
}

SKLEARN = {
    "jaccard": jaccard_score,
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
}

each_measure = pytest.mark.parametrize("measure", SKLEARN)


def macro(measure: str, video: ScoredVideo, labels: list[int] | None = None) -> float:
    """The macro average of scikit-learn: over the labels, or those in truth or prediction."""
    found = SKLEARN[measure](
        video.truth, video.predicted, labels=labels, average="macro", zero_division=0
    )
    return float(found)


def test_rows_of_a_confusion_matrix_are_true_and_columns_predicted() -> None:
    first, second = confusions(VIDEOS, a_space())
    assert first.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0] * 4, [0] * 4]
    assert second.tolist() == [[4, 0, 1, 0], [0] * 4, [0] * 4, [0] * 4]


@pytest.mark.parametrize("name", BY_HAND)
def test_a_case_worked_out_by_hand(name: str) -> None:
    assert value(METRICS[name], VIDEOS, a_space()) == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", ["jaccard", "precision", "recall"])
def test_nothing_is_left_out_of_this_case_by_the_legacy_forms_either(name: str) -> None:
    legacy = value(METRICS[f"phase_{name}_legacy"], VIDEOS, a_space())
    assert legacy == pytest.approx(BY_HAND[f"phase_{name}"])


def test_values_of_classes_come_with_what_was_averaged_and_left_out() -> None:
    statistic = METRICS["phase_jaccard"].compute(VIDEOS, a_space())

    assert statistic.per_class == pytest.approx(
        {"phase 0": 13 / 20, "phase 1": 2 / 3, "phase 2": np.nan, "phase 3": np.nan}, nan_ok=True
    )
    assert statistic.averaged == "2 classes over 2 videos"
    assert statistic.undefined == (
        "phase 1: undefined in 1 of 2 videos",
        "phase 2: undefined in 2 of 2 videos",
        "phase 3: undefined in 2 of 2 videos",
    )


def test_pooled_values_say_what_has_no_rows() -> None:
    statistic = METRICS["phase_jaccard_pooled"].compute(VIDEOS, a_space())
    assert statistic.averaged == "3 classes over all rows of 2 videos"
    assert statistic.undefined == ("phase 3: undefined, as it has no rows",)


def test_where_zero_by_zero_is_left_out_the_worse_model_has_the_higher_precision() -> None:
    truth = [0, 0, 0, 1]
    never = [a_video(truth, [0, 0, 0, 0])]  # 3/4 of phase 0; phase 1 is 0/0
    finds = [a_video(truth, [0, 1, 1, 1])]  # 1 of phase 0; 1/3 of phase 1

    legacy = METRICS["phase_precision_legacy"]
    assert value(legacy, never, a_space()) == pytest.approx(3 / 4)
    assert value(legacy, finds, a_space()) == pytest.approx(2 / 3)

    ours = METRICS["phase_precision"]
    assert value(ours, never, a_space()) == pytest.approx(3 / 8)
    assert value(ours, finds, a_space()) == pytest.approx(2 / 3)


def test_the_legacy_f1_leaves_out_what_is_never_hit() -> None:
    videos = [a_video([0, 0, 0, 1], [0, 0, 1, 0])]  # phase 0 has 4/6, phase 1 no hit

    assert value(METRICS["phase_f1_legacy"], videos, a_space()) == pytest.approx(2 / 3)
    assert value(METRICS["phase_f1"], videos, a_space()) == pytest.approx(1 / 3)


@each_measure
@settings(max_examples=30)
@given(videos=some_videos())
def test_pooled_values_are_those_of_scikit_learn(measure: str, videos: list[ScoredVideo]) -> None:
    pairs = [true_and_predicted(video) for video in videos]
    truth, predicted = (np.concatenate(labels).tolist() for labels in zip(*pairs, strict=True))

    ours = value(METRICS[f"phase_{measure}_pooled"], videos, a_space())
    assert ours == pytest.approx(macro(measure, a_video(truth, predicted)))


@each_measure
@settings(max_examples=30)
@given(videos=some_videos())
def test_values_of_each_video_are_those_of_scikit_learn(
    measure: str, videos: list[ScoredVideo]
) -> None:
    present = np.mean([macro(measure, video) for video in videos])
    in_truth = np.mean([macro(measure, video, sorted(set(video.truth))) for video in videos])

    ours = value(METRICS[f"per_video_macro_present_{measure}"], videos, a_space())
    assert ours == pytest.approx(present)
    ours = value(METRICS[f"phase_{measure}_per_video"], videos, a_space())
    assert ours == pytest.approx(in_truth)


@pytest.mark.parametrize(
    "form", ["phase_{}", "phase_{}_pooled", "phase_{}_per_video", "per_video_macro_present_{}"]
)
@given(videos=some_videos())
def test_the_jaccard_index_is_never_above_f1(form: str, videos: list[ScoredVideo]) -> None:
    jaccard, f1 = (
        value(METRICS[form.format(name)], videos, a_space()) for name in ("jaccard", "f1")
    )
    assert jaccard <= f1 + 1e-12


def test_a_class_that_is_absent_is_zero_to_scikit_learn_and_torchmetrics() -> None:
    truth, predicted = [0, 0, 1, 1], [0, 0, 1, 1]
    videos = [a_video(truth, predicted)]
    every_class = list(range(NUM_CLASSES))

    theirs = jaccard_score(truth, predicted, labels=every_class, average=None, zero_division=0)
    assert theirs.tolist() == [1, 1, 0, 0]

    index = MulticlassJaccardIndex(NUM_CLASSES, average=None)
    assert index(torch.tensor(predicted), torch.tensor(truth)).tolist() == [1, 1, 0, 0]

    # A perfect model would have 0.5; to us phases 2 and 3 have no value at all.
    assert theirs.mean() == 0.5
    assert value(METRICS["phase_jaccard"], videos, a_space()) == 1


def test_the_spread_is_over_videos_or_over_classes_and_says_so() -> None:
    accuracies = METRICS["video_accuracy"].compute(VIDEOS, a_space())
    assert spread(accuracies) == pytest.approx({"sd_over_videos": np.std([0.75, 0.8], ddof=1)})

    jaccards = METRICS["phase_jaccard"].compute(VIDEOS, a_space())
    deviations = spread(jaccards)
    assert deviations["sd_over_classes"] == pytest.approx(np.std([13 / 20, 2 / 3], ddof=1))
    assert deviations["sd_over_videos"] == pytest.approx(np.std([7 / 12, 4 / 5], ddof=1))


def test_one_value_has_no_spread() -> None:
    accuracies = METRICS["video_accuracy"].compute(VIDEOS[:1], a_space())
    assert np.isnan(spread(accuracies)["sd_over_videos"])
