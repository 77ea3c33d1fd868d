"""Masks against loops over pixels, the structure measure against its paper gone through step by step."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.dense.masks import (
    dice,
    iou,
    mask_mae,
    mean_dice,
    s_measure,
    stretched,
)
from surgstream.trainer.evaluation.metrics.statistic import mean_over_videos, value_of

Floats = npt.NDArray[np.float64]
Pixels = list[tuple[float, bool]]

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
STEPS = st.sampled_from([0.0, 51 / 255, 0.5, 204 / 255, 1.0])


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[Floats, npt.NDArray[np.bool_]]:
    shape = draw(SHAPES)
    values = draw(st.sampled_from([STEPS, st.floats(0, 1)]))
    return draw(arrays(float, shape, elements=values)), draw(arrays(bool, shape))


def pixels(probabilities: npt.NDArray[Any], truth: npt.NDArray[np.bool_]) -> Pixels:
    return list(zip(probabilities.flatten().tolist(), truth.flatten().tolist(), strict=True))


def overlap(found: Pixels, threshold: float, *, above: bool) -> tuple[int, int, int]:
    """Pixels of the predicted mask, of the true one, and of both."""
    predicted = [value > threshold or (value == threshold and not above) for value, _ in found]
    truth = [true for _, true in found]
    both = [guess and true for guess, true in zip(predicted, truth, strict=True)]
    return sum(predicted), sum(truth), sum(both)


@given(maps_and_masks())
def test_overlaps_count_pixels(case: tuple[Floats, npt.NDArray[np.bool_]]) -> None:
    found = pixels(*case)
    num_predicted, num_true, num_both = overlap(found, 0.5, above=True)

    if num_predicted + num_true:
        assert dice(*case) == pytest.approx(2 * num_both / (num_predicted + num_true))
        assert iou(*case) == pytest.approx(num_both / (num_predicted + num_true - num_both))
    else:
        assert dice(*case) == iou(*case) == 1.0

    errors = [abs(value - true) for value, true in found]
    assert mask_mae(*case) == pytest.approx(math.fsum(errors) / len(errors))


@given(maps_and_masks())
def test_mean_dice_goes_through_256_thresholds(
    case: tuple[Floats, npt.NDArray[np.bool_]],
) -> None:
    probabilities, truth = case
    found = pixels(stretched(probabilities), truth)

    scores = []
    for step in range(256):
        num_predicted, num_true, num_both = overlap(found, step / 255, above=False)
        total = num_predicted + num_true
        scores.append(2 * num_both / total if total else 1.0)

    assert mean_dice(probabilities, truth) == pytest.approx(math.fsum(scores) / 256)


@given(arrays(float, SHAPES, elements=st.floats(0, 1)))
def test_a_stretched_map_goes_from_0_to_1(probabilities: Floats) -> None:
    found = stretched(probabilities)
    extent = probabilities.max() - probabilities.min()

    assert found.min() == 0
    assert found.max() == (1 if extent > 0 else 0)
    assert found * extent + probabilities.min() == pytest.approx(probabilities)


def test_a_perfect_mask_is_perfect_but_for_the_threshold_that_takes_all() -> None:
    truth = np.zeros((4, 5), bool)
    truth[1:3, 1:4] = True
    probabilities = truth.astype(float)

    assert dice(probabilities, truth) == iou(probabilities, truth) == 1.0
    assert mask_mae(probabilities, truth) == 0.0
    assert s_measure(probabilities, truth) == pytest.approx(1.0)

    # 6 of 20 pixels: Dice of the whole image is 12 / 26.
    assert mean_dice(probabilities, truth) == pytest.approx((255 + 12 / 26) / 256)


def test_dice_at_a_half_and_over_thresholds_are_two_metrics() -> None:
    truth = np.array([[True, False, False, False]])
    timid = np.array([[0.4, 0.0, 0.0, 0.0]])

    assert dice(timid, truth) == 0.0
    assert mean_dice(timid, truth) == pytest.approx((255 + 2 / 5) / 256)


@given(maps_and_masks(), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_structure_measure_is_that_of_the_paper(
    case: tuple[Floats, npt.NDArray[np.bool_]], alpha: float
) -> None:
    probabilities, truth = case

    found = s_measure(probabilities, truth, alpha)
    assert found == pytest.approx(slow_s_measure(probabilities.tolist(), truth.tolist(), alpha))


def slow_s_measure(rows: list[list[float]], truth: list[list[bool]], alpha: float) -> float:
    """Sections 3.1 and 3.2 of the paper, with the authors' deviations and their rule for flat parts."""
    height, width = len(rows), len(rows[0])
    places = [(y, x) for y in range(height) for x in range(width)]
    inside = [place for place in places if truth[place[0]][place[1]]]
    outside = [place for place in places if not truth[place[0]][place[1]]]
    mean_of_map = math.fsum(rows[y][x] for y, x in places) / len(places)
    if not inside:
        return 1 - mean_of_map
    if not outside:
        return mean_of_map

    share = len(inside) / len(places)
    of_object = share * _similarity([rows[y][x] for y, x in inside])
    of_object += (1 - share) * _similarity([1 - rows[y][x] for y, x in outside])

    # Counted from 1, as its authors do.
    centre_y = math.floor(math.fsum(y + 1 for y, _ in inside) / len(inside) + 0.5)
    centre_x = math.floor(math.fsum(x + 1 for _, x in inside) / len(inside) + 0.5)
    parts: dict[tuple[bool, bool], list[tuple[float, float]]] = {}
    for y, x in places:
        key = (y + 1 <= centre_y, x + 1 <= centre_x)
        parts.setdefault(key, []).append((rows[y][x], float(truth[y][x])))

    of_regions = sum(len(part) / len(places) * _ssim(part) for part in parts.values())
    return max(0.0, alpha * of_object + (1 - alpha) * of_regions)


def _similarity(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + deviation)


def _ssim(part: list[tuple[float, float]]) -> float:
    xs, ys = zip(*part, strict=True)
    if len(set(ys)) == 1:
        return 1.0 if len(set(xs)) == 1 else 0.0

    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    s_xx = math.fsum((x - mean_x) ** 2 for x in xs)
    s_yy = math.fsum((y - mean_y) ** 2 for y in ys)
    s_xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in part)
    luminance = 2 * mean_x * mean_y / (mean_x**2 + mean_y**2)
    return luminance * 2 * s_xy / (s_xx + s_yy)


def test_videos_are_averaged_as_any_statistic() -> None:
    truth = np.array([[True, False]])
    maps = [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])]
    scores = [dice(probabilities, truth) for probabilities in maps]

    statistic = mean_over_videos(np.array(scores), averaged="3 images")

    assert value_of(statistic, 3) == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert statistic.at(np.array([[2.0, 1.0, 0.0]])) == pytest.approx(np.array([2 / 3]))


@pytest.mark.parametrize("metric", [dice, iou, mask_mae, mean_dice, s_measure])
def test_pictures_of_8_bits_are_no_masks_and_no_probabilities(metric: Any) -> None:
    truth = np.array([[255, 0]], np.uint8)

    with pytest.raises(MetricError, match=r"mask: expected bool \(1, 2\), .* got uint8"):
        metric(np.array([[1.0, 0.0]]), truth)
    with pytest.raises(MetricError, match=r"mask: expected bool \(2, 1\), .* got bool \(1, 2\)"):
        metric(np.array([[1.0], [0.0]]), truth > 127)
    with pytest.raises(MetricError, match=r"expected 0 to 1, got 0\.0 to 255\.0; divide"):
        metric(np.array([[255.0, 0.0]]), truth > 127)
    with pytest.raises(MetricError, match="expected 0 to 1, got nan to nan"):
        metric(np.array([[math.nan, 0.0]]), truth > 127)
