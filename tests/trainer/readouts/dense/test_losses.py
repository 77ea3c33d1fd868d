"""Losses of pictures against plain loops over their definitions, with gradients by differences."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from surgstream.trainer.readouts.dense.losses import (
    cross_entropy,
    gradient_loss,
    scale_invariant_loss,
    structure_loss,
)

Floats = npt.NDArray[np.float64]

seeds = st.integers(0, 2**31)
few = settings(max_examples=15, deadline=None)


def slow_structure_loss(logits: Floats, truth: Floats) -> float:
    rows, columns = truth.shape
    entropy = weight_sum = common = either = 0.0
    for row in range(rows):
        for column in range(columns):
            around = 0.0
            for r in range(row - 15, row + 16):
                for c in range(column - 15, column + 16):
                    if 0 <= r < rows and 0 <= c < columns:
                        around += truth[r, c] / 31**2
            g = truth[row, column]
            p = 1 / (1 + math.exp(-logits[row, column]))
            weight = 1 + 5 * abs(around - g)
            entropy -= weight * (g * math.log(p) + (1 - g) * math.log(1 - p))
            weight_sum += weight
            common += weight * p * g
            either += weight * (p + g - p * g)
    return entropy / weight_sum + 1 - (1 + common) / (1 + either)


def slow_cross_entropy(logits: Floats, truth: npt.NDArray[np.int64]) -> float:
    total = 0.0
    for row in range(truth.shape[0]):
        for column in range(truth.shape[1]):
            numbers = [math.exp(value) for value in logits[:, row, column]]
            total -= math.log(numbers[truth[row, column]] / sum(numbers))
    return total / truth.size


def slow_scale_invariant_loss(predicted: Floats, truth: Floats) -> float:
    errors = [
        math.log(p + 1e-3) - math.log(g + 1e-3)
        for p, g in zip(predicted.ravel(), truth.ravel(), strict=True)
        if g > 0
    ]
    if len(errors) < 2:
        variance = 0.0
    else:
        mean = sum(errors) / len(errors)
        variance = sum((error - mean) ** 2 for error in errors) / (len(errors) - 1)
    mean = sum(errors) / max(len(errors), 1)
    return math.sqrt(variance + 0.15 * mean**2)


def slow_gradient_loss(predicted: Floats, truth: Floats) -> float:
    total = 0.0
    for step in (1, 2, 4, 8):
        p, g = predicted[::step, ::step], truth[::step, ::step]
        rows, columns = g.shape
        num_known, steps = 0, 0.0
        for row in range(rows):
            for column in range(columns):
                if g[row, column] <= 0:
                    continue
                num_known += 1
                error = math.log(p[row, column] + 1e-3) - math.log(g[row, column] + 1e-3)
                for r, c in ((row + 2, column), (row, column + 2)):
                    if r < rows and c < columns and g[r, c] > 0:
                        steps += abs(math.log(p[r, c] + 1e-3) - math.log(g[r, c] + 1e-3) - error)
        total += steps / max(num_known, 1)
    return total


def assert_gradients(loss: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Compare gradients with central differences at some places."""
    inputs = inputs.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(inputs).sum(), inputs)
    assert found.isfinite().all()

    flat = inputs.detach().flatten()
    for place in range(0, len(flat), max(1, len(flat) // 7)):
        ends = []
        for change in (-1e-5, 1e-5):
            moved = flat.clone()
            moved[place] += change
            ends.append(float(loss(moved.view_as(inputs)).sum()))
        assert float(found.flatten()[place]) == pytest.approx((ends[1] - ends[0]) / 2e-5, abs=1e-5)


@few
@given(seed=seeds, share=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_structure_loss_is_that_of_the_paper(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 6, 9))
    truth = (rng.uniform(size=(2, 6, 9)) < share).astype(np.float64)

    true = torch.tensor(truth)
    found = structure_loss(torch.tensor(logits), true)
    expected = [slow_structure_loss(*pair) for pair in zip(logits, truth, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert_gradients(lambda inputs: structure_loss(inputs, true), torch.tensor(logits))


@few
@given(seed=seeds)
def test_the_cross_entropy_is_that_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, truth = rng.normal(0, 2, (2, 4, 3, 5)), rng.integers(0, 4, (2, 3, 5))

    found = cross_entropy(torch.tensor(logits), torch.tensor(truth))
    expected = [slow_cross_entropy(*pair) for pair in zip(logits, truth, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert_gradients(
        lambda inputs: cross_entropy(inputs, torch.tensor(truth)), torch.tensor(logits)
    )


@few
@given(seed=seeds, unknown=st.sampled_from([0.0, 0.3, 0.97, 1.0]))
@pytest.mark.parametrize(
    ("loss", "slow"),
    [
        (scale_invariant_loss, slow_scale_invariant_loss),
        (gradient_loss, slow_gradient_loss),
    ],
)
def test_losses_of_depth_are_those_of_known_pixels(
    loss: Callable[[Tensor, Tensor], Tensor],
    slow: Callable[[Floats, Floats], float],
    seed: int,
    unknown: float,
) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(1, 50, (2, 9, 11))
    truth = np.where(rng.uniform(size=predicted.shape) < unknown, 0.0, rng.uniform(1, 50))
    truth = truth * rng.uniform(0.5, 2, truth.shape)

    true = torch.tensor(truth)
    found = loss(torch.tensor(predicted), true)
    expected = [slow(*pair) for pair in zip(predicted, truth, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert_gradients(lambda inputs: loss(inputs, true), torch.tensor(predicted))


def test_depth_that_is_right_costs_nothing_and_leaves_finite_gradients() -> None:
    truth = torch.full((1, 6, 6), 20.0, dtype=torch.float64)
    predicted = truth.clone().requires_grad_()
    for loss in (scale_invariant_loss, gradient_loss):
        found = loss(predicted, truth)
        (gradient,) = torch.autograd.grad(found.sum(), predicted)
        assert float(found.detach()) == 0
        assert gradient.isfinite().all()


def test_depth_that_is_scaled_costs_as_much_everywhere() -> None:
    truth = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)).double() * 30 + 5
    found = scale_invariant_loss(2 * truth, truth)
    assert float(found) == pytest.approx(math.sqrt(0.15) * math.log(2), rel=1e-3)
    assert float(gradient_loss(2 * truth, truth)) == pytest.approx(0, abs=1e-2)
