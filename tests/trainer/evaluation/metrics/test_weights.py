"""What holds of every metric of rankings, triplets and numbers: weights are repetitions, and order is of no account."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.trainer.evaluation.metrics import numbers, ranking, triplets
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import value_of
from tests.trainer.evaluation.metrics.made_videos import (
    CLASSES,
    NUMBERS,
    TOOLS,
    TRIPLETS,
    some_videos,
)

BY_KIND = {"class": CLASSES, "multilabel": TOOLS, "number": NUMBERS}


def cases() -> Iterator[object]:
    """Every metric with the labels that it is for."""
    for name, metric in {**ranking.METRICS, **numbers.METRICS}.items():
        for kind in metric.kinds:
            yield pytest.param(metric, BY_KIND[kind], id=f"{name} of {kind}")
    for name, metric in triplets.METRICS.items():
        yield pytest.param(metric, TRIPLETS, id=name)


every_metric = pytest.mark.parametrize(("metric", "labels"), list(cases()))


def videos_for(labels: LabelSpace) -> st.SearchStrategy[list[ScoredVideo]]:
    return some_videos(labels.kind, len(labels.classes))


@every_metric
@settings(max_examples=30)
@given(data=st.data())
def test_a_weight_is_how_often_a_video_is_repeated(
    metric: Metric, labels: LabelSpace, data: st.DataObject
) -> None:
    videos = data.draw(videos_for(labels))
    times = st.lists(st.integers(0, 3), min_size=len(videos), max_size=len(videos)).filter(any)
    draws = data.draw(st.lists(times, min_size=1, max_size=4))

    found = metric.compute(videos, labels).at(np.array(draws, float))

    for value, weights in zip(found, draws, strict=True):
        repeated = [
            video for video, times in zip(videos, weights, strict=True) for _ in range(times)
        ]
        expected = value_of(metric.compute(repeated, labels), len(repeated))
        assert value == pytest.approx(expected, nan_ok=True)


@every_metric
@settings(max_examples=30)
@given(data=st.data())
def test_a_videos_value_is_the_metric_of_it_alone(
    metric: Metric, labels: LabelSpace, data: st.DataObject
) -> None:
    videos = data.draw(videos_for(labels))
    per_video = metric.compute(videos, labels).per_video

    if per_video is not None:
        alone = [value_of(metric.compute([video], labels), 1) for video in videos]
        assert per_video == pytest.approx(np.array(alone), nan_ok=True)


@every_metric
@settings(max_examples=30)
@given(data=st.data())
def test_the_order_of_rows_and_videos_is_of_no_account(
    metric: Metric, labels: LabelSpace, data: st.DataObject
) -> None:
    videos = data.draw(videos_for(labels))
    expected = value_of(metric.compute(videos, labels), len(videos))

    shuffled = [_in_other_order(video, data) for video in data.draw(st.permutations(videos))]

    found = value_of(metric.compute(shuffled, labels), len(videos))
    assert found == pytest.approx(expected, nan_ok=True)


def _in_other_order(video: ScoredVideo, data: st.DataObject) -> ScoredVideo:
    order = np.array(data.draw(st.permutations(range(video.num_rows))))
    return replace(
        video,
        truth=video.truth[order],
        predicted=None if video.predicted is None else video.predicted[order],
        scores=None if video.scores is None else video.scores[order],
    )
