"""Errors and rank correlations of numbers, against slow sums and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import spearmanr

from surgstream.trainer.evaluation.metrics.numbers import METRICS
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import Statistic, value_of
from tests.trainer.evaluation.metrics.made_videos import NUMBERS, some_videos, video


def compute(name: str, *videos: ScoredVideo) -> Statistic:
    return METRICS[name].compute(videos, NUMBERS)


@given(some_videos("number"))
def test_errors_are_means_over_rows_or_over_videos(videos: list[ScoredVideo]) -> None:
    errors = [
        [abs(guess - true) for guess, true in zip(each.predicted, each.truth, strict=True)]
        for each in videos
        if each.predicted is not None
    ]
    rows = [error for of_video in errors for error in of_video]
    means = [sum(of_video) / len(of_video) for of_video in errors]

    pooled = compute("mae", *videos)
    assert value_of(pooled, len(videos)) == pytest.approx(sum(rows) / len(rows))
    assert pooled.per_video == pytest.approx(np.array(means))

    by_video = compute("mae_per_video", *videos)
    assert value_of(by_video, len(videos)) == pytest.approx(sum(means) / len(means))
    assert by_video.per_video == pytest.approx(np.array(means))

    squared = compute("root_mean_squared_error", *videos)
    assert value_of(squared, len(videos)) == pytest.approx(
        math.sqrt(sum(error**2 for error in rows) / len(rows))
    )


@given(some_videos("number"))
def test_the_rank_correlation_is_scipys(videos: list[ScoredVideo]) -> None:
    truth = np.concatenate([each.truth for each in videos])
    predicted = np.concatenate([each.predicted for each in videos if each.predicted is not None])

    statistic = compute("spearman", *videos)

    undefined = []
    if len(set(predicted)) == 1:
        undefined.append("constant prediction")
    if len(set(truth)) == 1:
        undefined.append("constant truth")
    assert list(statistic.undefined) == undefined

    expected = math.nan if undefined else spearmanr(truth, predicted).statistic
    assert value_of(statistic, len(videos)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("predicted", "mae", "spearman"),
    [
        ([6.0, 12.0, 20.0, 30.0], 0.0, 1.0),
        ([7.0, 12.0, 22.0, 31.0], 1.0, 1.0),
        ([30.0, 20.0, 12.0, 6.0], 16.0, -1.0),
        # The mean of scores: an error that looks like skill, and no ranking.
        ([17.0, 17.0, 17.0, 17.0], 8.0, math.nan),
        # Ranks 1, 2.5, 2.5, 4: their covariance is 4.5, their variances 5 and 4.5.
        ([6.0, 15.0, 15.0, 30.0], 2.0, 4.5 / math.sqrt(5 * 4.5)),
    ],
)
def test_scores_of_four_trials(predicted: list[float], mae: float, spearman: float) -> None:
    trials = [
        video([true], predicted=[guess], name=f"trial{i}")
        for i, (true, guess) in enumerate(zip([6.0, 12.0, 20.0, 30.0], predicted, strict=True))
    ]

    for name in ("mae", "mae_per_video"):
        assert value_of(compute(name, *trials), 4) == mae
    assert value_of(compute("spearman", *trials), 4) == pytest.approx(spearman, nan_ok=True)


def test_a_draw_of_one_video_alone_may_have_no_ranks() -> None:
    statistic = compute(
        "spearman",
        video([1.0, 2.0], predicted=[3.0, 5.0], name="a"),
        video([7.0], predicted=[1.0], name="b"),
    )

    assert statistic.at(np.array([[2.0, 0.0], [0.0, 3.0]])) == pytest.approx(
        np.array([1.0, math.nan]), nan_ok=True
    )
    assert statistic.per_video is None
    assert statistic.undefined == ()
    assert statistic.averaged == "3 rows of 2 videos"


def test_one_row_has_an_error_and_no_rank() -> None:
    alone = video([3.0], predicted=[5.0])

    assert value_of(compute("mae", alone), 1) == 2.0
    assert math.isnan(value_of(compute("spearman", alone), 1))
    assert compute("spearman", alone).undefined == ("constant prediction", "constant truth")


def test_less_is_better_of_errors_and_nothing_is_a_percentage() -> None:
    better = {name: metric.higher_is_better for name, metric in METRICS.items()}

    assert better == {
        "mae": False,
        "mae_per_video": False,
        "root_mean_squared_error": False,
        "spearman": True,
    }
    assert not any(metric.percent for metric in METRICS.values())
