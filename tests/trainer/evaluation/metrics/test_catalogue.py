"""What holds of every metric of classes."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.trainer.evaluation.metrics import classes, phases
from surgstream.trainer.evaluation.metrics.catalogue import METRICS, MODULES, find_metric
from surgstream.trainer.evaluation.metrics.confusion import true_and_predicted
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from tests.trainer.evaluation.metrics.made import a_space, a_video, labels, some_videos

OF_CLASSES = [name for name, metric in METRICS.items() if "class" in metric.kinds]
OF_LABELS = [name for name in OF_CLASSES if METRICS[name].needs == "labels"]
BLIND_TO_ORDER = [*phases.METRICS, *classes.METRICS]

few = settings(max_examples=50)  # each computes all metrics

null_classes = st.sampled_from([(), (0,), (1, 3)])


def statistics(
    videos: Videos, space: LabelSpace, names: Collection[str] = OF_CLASSES
) -> dict[str, Statistic]:
    return {name: METRICS[name].compute(videos, space) for name in names}


def values(
    videos: Videos, space: LabelSpace, names: Collection[str] = OF_CLASSES
) -> dict[str, float]:
    found = statistics(videos, space, names)
    return {name: value_of(statistic, len(videos)) for name, statistic in found.items()}


def test_an_id_is_given_once() -> None:
    assert len(METRICS) == sum(len(module.METRICS) for module in MODULES)


def test_a_metric_is_found_by_its_id() -> None:
    assert find_metric("phase_jaccard") is METRICS["phase_jaccard"]


def test_a_wrong_id_is_told_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match="got 'phase_jacard'; did you mean 'phase_jaccard'"):
        find_metric("phase_jacard")


@few
@given(videos=some_videos())
def test_what_is_all_right_scores_one(videos: list[ScoredVideo]) -> None:
    perfect = [a_video(video.truth.tolist(), video.truth.tolist()) for video in videos]
    found = statistics(perfect, a_space())

    assert values(perfect, a_space()) == pytest.approx(dict.fromkeys(OF_CLASSES, 1))
    for name, statistic in found.items():
        assert all(np.isnan(value) or value == 1 for value in statistic.per_class.values()), name


@few
@given(videos=some_videos(), guess=labels)
def test_a_constant_has_a_score_or_the_reason_why_not(
    videos: list[ScoredVideo], guess: int
) -> None:
    constant = [a_video(video.truth.tolist(), [guess] * video.num_rows) for video in videos]

    for name, statistic in statistics(constant, a_space()).items():
        value = value_of(statistic, len(constant))
        assert 0 <= value <= 1 or (np.isnan(value) and statistic.undefined), name


@few
@given(videos=some_videos(), nulls=null_classes, data=st.data())
def test_weights_count_as_repeated_videos(
    videos: list[ScoredVideo], nulls: tuple[int, ...], data: st.DataObject
) -> None:
    space = a_space(null_classes=nulls)
    num_videos = len(videos)
    counts = st.lists(st.integers(0, 3), min_size=num_videos, max_size=num_videos)
    times = data.draw(counts.filter(any))

    drawn = {
        name: statistic.at(np.array([[1] * num_videos, times], np.float64)).tolist()
        for name, statistic in statistics(videos, space).items()
    }

    repeated = [video for video, number in zip(videos, times, strict=True) for _ in range(number)]
    once = {name: found[0] for name, found in drawn.items()}
    often = {name: found[1] for name, found in drawn.items()}
    assert once == pytest.approx(values(videos, space), nan_ok=True)
    assert often == pytest.approx(values(repeated, space), nan_ok=True)


@few
@given(videos=some_videos(), nulls=null_classes)
def test_a_video_by_itself_has_its_value_of_the_list(
    videos: list[ScoredVideo], nulls: tuple[int, ...]
) -> None:
    space = a_space(null_classes=nulls)
    alone = [values([video], space) for video in videos]

    for name, statistic in statistics(videos, space).items():
        if statistic.per_video is not None:
            of_list = statistic.per_video.tolist()
            assert of_list == pytest.approx([found[name] for found in alone], nan_ok=True), name


@few
@given(videos=some_videos(), data=st.data())
def test_the_order_of_videos_changes_nothing(
    videos: list[ScoredVideo], data: st.DataObject
) -> None:
    permuted = data.draw(st.permutations(videos))

    before = values(videos, a_space())
    assert values(permuted, a_space()) == pytest.approx(before, nan_ok=True)


@few
@given(videos=some_videos(max_videos=2), data=st.data())
def test_the_order_of_rows_changes_nothing_where_it_has_no_meaning(
    videos: list[ScoredVideo], data: st.DataObject
) -> None:
    permuted = []
    for video in videos:
        truth, predicted = true_and_predicted(video)
        order = data.draw(st.permutations(range(video.num_rows)))
        permuted.append(replace(video, truth=truth[order], predicted=predicted[order]))

    before = values(videos, a_space(), BLIND_TO_ORDER)
    assert values(permuted, a_space(), BLIND_TO_ORDER) == pytest.approx(before, nan_ok=True)


@pytest.mark.parametrize("name", OF_LABELS)
def test_one_frame_is_right_or_wrong(name: str) -> None:
    right, wrong = [a_video([2], [2])], [a_video([2], [0])]
    assert values(right, a_space(), [name]) == {name: 1}

    # A 0/0 that is left out of the mean leaves nothing.
    left_out = name in ("phase_precision_legacy", "phase_f1_legacy", "relaxed_legacy_precision")
    expected = np.nan if left_out else 0
    assert values(wrong, a_space(), [name]) == pytest.approx({name: expected}, nan_ok=True)


@pytest.mark.parametrize("name", OF_LABELS)
def test_what_was_averaged_is_always_told(name: str) -> None:
    videos = [a_video([0, 1, 1], [0, 1, 0], "a"), a_video([0, 0], [0, 2], "b")]
    assert "2 videos" in METRICS[name].compute(videos, a_space()).averaged
