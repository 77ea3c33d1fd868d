"""Triplets by hand, and against a slow restatement of what ivtmetrics does."""

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from surgstream.trainer.evaluation.metrics.triplets import METRICS
from tests.trainer.evaluation.metrics.made_videos import TOOLS, TRIPLETS, some_videos, video

COMPONENTS = {
    "ap_i": ("instrument",),
    "ap_v": ("verb",),
    "ap_t": ("target",),
    "ap_iv": ("instrument", "verb"),
    "ap_it": ("instrument", "target"),
}

# Three frames of a grasper that retracts the liver; in the second a hook cuts it, in the third nothing is done.
FIRST = video(
    np.array(
        [
            [0, 1, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
        ],
        bool,
    ),
    scores=[
        [0.9, 0.3, 0.1, 0.0, 0.2, 0.0],
        [0.2, 0.8, 0.0, 0.7, 0.1, 0.0],
        [0.1, 0.5, 0.45, 0.4, 0.0, 0.0],
    ],
    name="first",
)
# A grasper waits; then it grasps the liver.
SECOND = video(
    np.array(
        [
            [0, 0, 0, 0, 1, 0],
            [1, 0, 0, 0, 0, 0],
        ],
        bool,
    ),
    scores=[
        [0.6, 0.0, 0.0, 0.0, 0.5, 0.0],
        [0.4, 0.1, 0.0, 0.0, 0.9, 0.0],
    ],
    name="second",
)


def compute(name: str, *videos: ScoredVideo) -> Statistic:
    return METRICS[name].compute(videos, TRIPLETS)


def defined(statistic: Statistic) -> dict[str, float]:
    return {name: value for name, value in statistic.per_class.items() if not math.isnan(value)}


def test_triplets_of_two_videos_by_hand() -> None:
    statistic = compute("ap_ivt", FIRST, SECOND)

    assert defined(statistic) == pytest.approx(
        {
            # Second video: found at rank 2 of 2.
            "grasper/grasp/liver": 1 / 2,
            # First video: .8 is right, .5 is not, .3 is: (1 + 2/3) / 2.
            "grasper/retract/liver": 5 / 6,
            # First video: the frame of the hook has its lowest score.
            "hook/cut/liver": 1 / 3,
            # Second video: found at rank 2 of 2.
            "grasper/null_verb/null_target": 1 / 2,
        }
    )
    assert value_of(statistic, 2) == pytest.approx((1 / 2 + 5 / 6 + 1 / 3 + 1 / 2) / 4)
    assert statistic.averaged == "4 triplets over 2 videos, of 4 values"
    assert statistic.undefined == (
        "hook/cut/duct: in no video",
        "hook/null_verb/null_target: in no video",
    )


def test_null_triplets_are_dropped_and_their_frames_stay() -> None:
    statistic = compute("ap_ivt_no_null", FIRST, SECOND)

    assert set(statistic.per_class) == set(TRIPLETS.classes[:4])
    # The waiting grasper's .6 stays above the grasping one's .4.
    assert statistic.per_class["grasper/grasp/liver"] == 1 / 2
    assert value_of(statistic, 2) == pytest.approx((1 / 2 + 5 / 6 + 1 / 3) / 3)


def test_a_component_has_the_highest_score_and_is_there_where_one_triplet_is() -> None:
    instruments = compute("ap_i", FIRST, SECOND)
    # First video, grasper: .9, .8 and, of the empty frame, .5. Second: a grasper in all frames.
    # First video, hook: .1, .7, .45, of which the second is right, though the third has the highest sum.
    # Second: no hook, so it does not count.
    assert defined(instruments) == {"grasper": 1.0, "hook": 1.0}
    assert value_of(instruments, 2) == 1.0
    assert instruments.averaged == "2 instruments over 2 videos, of 3 values"

    verbs = compute("ap_v", FIRST, SECOND)
    # Cut is the better of both hook's triplets: .1, .7, .45. Waiting in the second video is .5 against .9.
    assert defined(verbs) == pytest.approx(
        {"grasp": 1 / 2, "retract": 5 / 6, "cut": 1.0, "null_verb": 1 / 2}
    )

    targets = compute("ap_t", FIRST, SECOND)
    # Liver in the first: .9, .8, then the empty frame's .5; in the second .6 is wrong, .4 is right.
    assert defined(targets) == pytest.approx({"liver": (1 + 1 / 2) / 2, "null_target": 1 / 2})
    assert targets.undefined == ("duct: in no video",)


def test_pairs_are_those_that_occur_among_the_classes() -> None:
    pairs = compute("ap_iv", FIRST, SECOND)
    assert list(pairs.per_class) == [
        "grasper/grasp",
        "grasper/retract",
        "grasper/null_verb",
        "hook/cut",
        "hook/null_verb",
    ]
    assert pairs.averaged == "4 pairs of instrument and verb over 2 videos, of 4 values"

    pairs = compute("ap_it", FIRST, SECOND)
    assert list(pairs.per_class) == [
        "grasper/liver",
        "grasper/null_target",
        "hook/liver",
        "hook/duct",
        "hook/null_target",
    ]
    # The hook at the liver is seen by its own triplet's score alone: .1, .0, .45.
    assert pairs.per_class["hook/liver"] == pytest.approx(1 / 3)


def test_over_all_rows_videos_compete() -> None:
    statistic = compute("ap_t_pooled", FIRST, SECOND)

    # Liver: .9, .8 right, .6, .5 wrong, .4 right. Null: the frame of .5 is below the one of .9 alone.
    assert defined(statistic) == pytest.approx({"liver": (2 + 3 / 5) / 3, "null_target": 1 / 2})
    assert statistic.averaged == "2 targets over 5 rows of 2 videos"


def ivtmetrics(
    videos: list[ScoredVideo], name: str, *, with_null: bool = True, over_rows: bool = False
) -> float:
    """Its rule, with what scikit-learn gave when it was written for a class that is not there: NaN."""
    keys: list[tuple[int, ...]] = [(number,) for number in range(len(TRIPLETS.classes))]
    if name in COMPONENTS:
        parts = [TRIPLETS.components[part] for part in COMPONENTS[name]]
        keys = list(zip(*parts, strict=True))

    truths, scores = [], []
    for each in videos:
        assert each.scores is not None
        truths.append(_decomposed(each.truth.astype(float), keys))
        scores.append(_decomposed(each.scores, keys))

    if over_rows:
        truths, scores = [np.concatenate(truths)], [np.concatenate(scores)]

    log = []
    for truth, score in zip(truths, scores, strict=True):
        columns = range(
            truth.shape[1] if with_null else truth.shape[1] - len(TRIPLETS.null_classes)
        )
        log.append(
            [
                average_precision_score(truth[:, c], score[:, c]) if truth[:, c].any() else math.nan
                for c in columns
            ]
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(np.nanmean(np.array(log), axis=0)))


def _decomposed(
    rows: npt.NDArray[np.float64], keys: list[tuple[int, ...]]
) -> npt.NDArray[np.float64]:
    out = np.zeros((len(rows), len(set(keys))))
    for r, row in enumerate(rows):
        for c, key in enumerate(sorted(set(keys))):
            out[r, c] = max(row[i] for i, other in enumerate(keys) if other == key)
    return out


@pytest.mark.parametrize("name", [*COMPONENTS, "ap_ivt"])
@settings(max_examples=40)
@given(videos=some_videos("multilabel", 6))
def test_the_rule_of_ivtmetrics(name: str, videos: list[ScoredVideo]) -> None:
    for suffix, over_rows in (("", False), ("_pooled", True)):
        found = value_of(compute(name + suffix, *videos), len(videos))
        expected = ivtmetrics(videos, name, over_rows=over_rows)
        assert found == pytest.approx(expected, nan_ok=True)


@settings(max_examples=40)
@given(videos=some_videos("multilabel", 6))
def test_the_rule_of_ivtmetrics_without_null(videos: list[ScoredVideo]) -> None:
    for suffix, over_rows in (("", False), ("_pooled", True)):
        found = value_of(compute("ap_ivt_no_null" + suffix, *videos), len(videos))
        expected = ivtmetrics(videos, "ap_ivt", with_null=False, over_rows=over_rows)
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.filterwarnings("ignore:No positive")
def test_newer_scikit_learn_breaks_ivtmetrics_and_not_us() -> None:
    """With scikit-learn as it is now, ivtmetrics averages absent classes as 0."""
    assert FIRST.scores is not None
    theirs = average_precision_score(FIRST.truth, FIRST.scores, average=None)
    assert np.nanmean(theirs) == pytest.approx((5 / 6 + 1 / 3) / 6)

    assert value_of(compute("ap_ivt", FIRST), 1) == pytest.approx((5 / 6 + 1 / 3) / 2)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("videos", [[FIRST], [FIRST, SECOND]], ids=["one video", "two"])
def test_a_perfect_prediction_is_1_and_nothing_at_all_undefined(
    metric: Metric, videos: list[ScoredVideo]
) -> None:
    perfect = [video(each.truth, scores=each.truth, name=each.video) for each in videos]
    assert value_of(metric.compute(perfect, TRIPLETS), len(videos)) == 1.0

    empty = [video(np.zeros((2, 6), bool), scores=np.ones((2, 6)))]
    nothing = metric.compute(empty, TRIPLETS)
    assert math.isnan(value_of(nothing, 1))
    assert len(nothing.undefined) == len(nothing.per_class)


def test_classes_that_are_not_made_of_parts_have_no_components() -> None:
    hooks = video(np.eye(3, dtype=bool), scores=np.eye(3))
    with pytest.raises(MetricError, match="expected instrument and verb among them, got none"):
        METRICS["ap_iv"].compute([hooks], TOOLS)

    half = LabelSpace(kind="multilabel", classes=("a", "b", "c"), components={"verb": (0, 1, 2)})
    with pytest.raises(MetricError, match="expected target among them, got verb; name them"):
        METRICS["ap_t"].compute([hooks], half)
