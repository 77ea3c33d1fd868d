"""Votes of neighbours, against a loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.trainer.readouts import neighbours
from surgstream.trainer.readouts.neighbours import Neighbours


@given(num=st.integers(1, 30), width=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_it_is_what_a_loop_says(num: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num, width)).astype(np.float32)
    targets = generator.random((num, 3)).astype(np.float32)
    tested = generator.normal(size=(11, width)).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_PRODUCTS_AT_ONCE", 4 * num)
        voters = Neighbours(torch.from_numpy(features), torch.from_numpy(targets), 0.2)
        found = voters.scores(torch.from_numpy(tested), (1, 3, 100)).numpy()

    for row, x in enumerate(tested):
        cosines = [float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) for y in features]
        nearest = sorted(range(num), key=lambda i: -cosines[i])
        # Which of two that are equally near comes first is nobody's business.
        gaps = np.diff(sorted(cosines))
        if width == 1 or (gaps.size and gaps.min() < 1e-5):
            continue
        for place, k in enumerate((1, 3, 100)):
            weights = [math.exp(cosines[i] / 0.2) for i in nearest[:k]]
            expected = sum(w * targets[i] for w, i in zip(weights, nearest, strict=False)) / sum(
                weights
            )
            np.testing.assert_allclose(found[place, row], expected, atol=1e-4)


def test_a_low_temperature_does_not_overflow() -> None:
    voters = Neighbours(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 1e-4)
    (scores,) = voters.scores(torch.tensor([[3.0, 0.1]]), [2])
    assert scores.tolist() == [[1.0, 0.0]]
