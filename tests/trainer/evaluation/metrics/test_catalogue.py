from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.trainer.evaluation.metrics import classes, phases
from surgstream.trainer.evaluation.metrics.catalogue import METRICS, MODULES, find_metric
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import value_of
from tests.trainer.evaluation.metrics.made import NUM_CLASSES, a_space, a_video, some_videos, value

OF_CLASSES = sorted(name for name, metric in METRICS.items() if "class" in metric.kinds)
BLIND_TO_ORDER = sorted({**phases.METRICS, **classes.METRICS})

each_metric = pytest.mark.parametrize("name", OF_CLASSES)


def test_an_id_is_given_once() -> None:
    assert len(METRICS) == sum(len(module.METRICS) for module in MODULES)


def test_a_metric_is_found_by_its_id() -> None:
    assert find_metric("phase_jaccard") is METRICS["phase_jaccard"]


def test_a_wrong_id_is_told_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match="got 'phase_jacard'; did you mean 'phase_jaccard'"):
        find_metric("phase_jacard")


@each_metric
@given(videos=some_videos())
def test_what_is_all_right_scores_one(name: str, videos: list[ScoredVideo]) -> None:
    perfect = [a_video(video.truth.tolist(), video.truth.tolist()) for video in videos]
    statistic = METRICS[name].compute(perfect, a_space())

    assert value_of(statistic, len(perfect)) == pytest.approx(1)
    assert all(np.isnan(value) or value == 1 for value in statistic.per_class.values())


@each_metric
@given(videos=some_videos(), guess=st.integers(0, NUM_CLASSES - 1))
def test_a_constant_scores_between_nothing_and_one(
    name: str, videos: list[ScoredVideo], guess: int
) -> None:
    constant = [a_video(video.truth.tolist(), [guess] * video.num_rows) for video in videos]
    statistic = METRICS[name].compute(constant, a_space())

    # Where a form leaves 0/0 out of the mean, nothing may be left of it.
    number = value_of(statistic, len(constant))
    assert 0 <= number <= 1 or (np.isnan(number) and statistic.undefined)


@each_metric
@given(videos=some_videos(), data=st.data())
def test_weights_count_as_repeated_videos(
    name: str, videos: list[ScoredVideo], data: st.DataObject
) -> None:
    space = a_space(null_classes=data.draw(st.sampled_from([(), (0,), (1, 3)])))
    times = data.draw(
        st.lists(st.integers(0, 3), min_size=len(videos), max_size=len(videos)).filter(any)
    )
    repeated = [video for video, number in zip(videos, times, strict=True) for _ in range(number)]
    draws = np.array([times, [1] * len(videos)], np.float64)

    drawn, once = METRICS[name].compute(videos, space).at(draws)

    assert drawn == pytest.approx(value(METRICS[name], repeated, space), nan_ok=True)
    assert once == pytest.approx(value(METRICS[name], videos, space), nan_ok=True)


@each_metric
@given(videos=some_videos())
def test_a_video_by_itself_has_its_value_of_the_list(name: str, videos: list[ScoredVideo]) -> None:
    statistic = METRICS[name].compute(videos, a_space(null_classes=(0,)))

    if statistic.per_video is not None:
        alone = [value(METRICS[name], [video], a_space(null_classes=(0,))) for video in videos]
        assert statistic.per_video == pytest.approx(np.array(alone), nan_ok=True)


@each_metric
@given(videos=some_videos(), data=st.data())
def test_the_order_of_videos_changes_nothing(
    name: str, videos: list[ScoredVideo], data: st.DataObject
) -> None:
    permuted = data.draw(st.permutations(videos))
    before = METRICS[name].compute(videos, a_space())
    after = METRICS[name].compute(permuted, a_space())

    num_videos = len(videos)
    assert value_of(after, num_videos) == pytest.approx(value_of(before, num_videos), nan_ok=True)
    assert after.per_class == pytest.approx(before.per_class, nan_ok=True)


@pytest.mark.parametrize("name", BLIND_TO_ORDER)
@given(videos=some_videos(max_videos=2), data=st.data())
def test_the_order_of_rows_changes_nothing_where_it_has_no_meaning(
    name: str, videos: list[ScoredVideo], data: st.DataObject
) -> None:
    permuted = []
    for video in videos:
        order = data.draw(st.permutations(range(video.num_rows)))
        assert video.predicted is not None
        permuted.append(replace(video, truth=video.truth[order], predicted=video.predicted[order]))

    before = value(METRICS[name], videos, a_space())
    assert value(METRICS[name], permuted, a_space()) == pytest.approx(before, nan_ok=True)


@each_metric
@pytest.mark.parametrize(("truth", "guess", "expected"), [(2, 2, 1.0), (2, 0, 0.0)])
def test_one_frame_is_right_or_wrong(name: str, truth: int, guess: int, expected: float) -> None:
    number = value(METRICS[name], [a_video([truth], [guess])], a_space())

    # A 0/0 that is left out leaves nothing.
    left_out = name in ("phase_precision_legacy", "phase_f1_legacy", "relaxed_legacy_precision")
    assert np.isnan(number) if left_out and not expected else number == expected


@each_metric
def test_what_was_averaged_is_always_told(name: str) -> None:
    videos = [a_video([0, 1, 1], [0, 1, 0], "a"), a_video([0, 0], [0, 2], "b")]
    assert "2 videos" in METRICS[name].compute(videos, a_space()).averaged
