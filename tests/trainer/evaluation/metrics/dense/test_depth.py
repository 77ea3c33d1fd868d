"""Errors of depth against loops over the pixels that are known."""

import math
import statistics
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.dense.depth import abs_rel, delta, rmse, scaled, sq_rel

Floats = npt.NDArray[np.float64]

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@st.composite
def frames(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Predicted and true depth in mm; that of some pixels is unknown."""
    shape = draw(SHAPES)
    predicted = draw(arrays(float, shape, elements=st.floats(-1, 100)))
    unknown_or_not = st.one_of(st.just(0.0), st.floats(0.5, 100))
    return predicted, draw(arrays(float, shape, elements=unknown_or_not))


def known(predicted: Floats, truth: Floats) -> list[tuple[float, float]]:
    pairs = zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True)
    return [(d, g) for d, g in pairs if g > 0]


def slow_mean(pairs: list[tuple[float, float]], term: Callable[[float, float], float]) -> float:
    terms = [term(d, g) for d, g in pairs]
    return math.fsum(terms) / len(terms) if terms else math.nan


@given(frames())
def test_errors_are_means_over_known_pixels(case: tuple[Floats, Floats]) -> None:
    pairs = known(*case)

    def same(found: float, term: Callable[[float, float], float]) -> bool:
        return found == pytest.approx(slow_mean(pairs, term), nan_ok=True)

    assert same(rmse(*case) ** 2, lambda d, g: (d - g) ** 2)
    assert same(abs_rel(*case), lambda d, g: abs(d - g) / g)
    assert same(sq_rel(*case), lambda d, g: (d - g) ** 2 / g)
    assert same(delta(*case), lambda d, g: d > 0 and max(d / g, g / d) < 1.1)
    assert same(delta(*case, bound=1.25), lambda d, g: d > 0 and max(d / g, g / d) < 1.25)


@given(frames())
def test_scaling_by_the_median_is_of_known_pixels_alone(case: tuple[Floats, Floats]) -> None:
    predicted, truth = np.abs(case[0]) + 0.5, case[1]
    assert scaled(predicted, truth, "metric") is predicted

    found = scaled(predicted, truth, "median")

    pairs = known(predicted, truth)
    ratio = 1.0
    if pairs:
        ratio = statistics.median(g for _, g in pairs) / statistics.median(d for d, _ in pairs)
    assert found == pytest.approx(predicted * ratio)


def test_a_frame_by_hand() -> None:
    truth = np.array([[10.0, 20.0], [40.0, 0.0]])
    predicted = np.array([[11.5, 20.0], [38.0, 99.0]])

    assert rmse(predicted, truth) == pytest.approx(math.sqrt((1.5**2 + 2**2) / 3))
    assert abs_rel(predicted, truth) == pytest.approx((0.15 + 0.05) / 3)
    assert sq_rel(predicted, truth) == pytest.approx((1.5**2 / 10 + 2**2 / 40) / 3)
    assert delta(predicted, truth) == pytest.approx(2 / 3)

    # A depth of half the true one everywhere is perfect but for its scale.
    by_median = scaled(truth / 2, truth, "median")
    assert rmse(truth / 2, truth) == pytest.approx(math.sqrt((5**2 + 10**2 + 20**2) / 3))
    assert rmse(by_median, truth) == abs_rel(by_median, truth) == 0.0
    assert delta(truth / 2, truth) == 0.0
    assert delta(by_median, truth) == 1.0


def test_a_frame_without_known_depth_has_no_error() -> None:
    predicted, unknown = np.ones((2, 2)), np.zeros((2, 2))

    for metric in (rmse, abs_rel, sq_rel, delta):
        assert math.isnan(metric(scaled(predicted, unknown, "median"), unknown))


def test_what_cannot_be_compared_is_told() -> None:
    truth = np.array([[1.0, 2.0]])

    with pytest.raises(MetricError, match=r"expected \(1, 2\), as the truth, got \(1, 3\)"):
        rmse(np.ones((1, 3)), truth)
    with pytest.raises(MetricError, match=r"expected a median above 0 to scale by, got 0\.0"):
        scaled(np.zeros((1, 2)), truth, "median")
