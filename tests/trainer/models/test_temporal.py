"""Temporal networks, against a restatement by plain loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from surgstream.trainer.models.temporal import TemporalNetwork

D, C = 5, 3


def network(**changes: Any) -> TemporalNetwork:
    settings = {"stages": 2, "layers": 3, "width": 4, "causal": True, "kind": "class"} | changes
    made = TemporalNetwork(D, C, **settings).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
    return made


def slow(made: TemporalNetwork, features: np.ndarray, causal: bool, keep: np.ndarray) -> np.ndarray:
    """What the network should say, a number at a time."""
    state = {name: tensor.detach().numpy() for name, tensor in made.named_parameters()}
    rows = range(len(features))
    inputs, found = features, []
    for s in range(len(made.stages)):
        x = [_linear(state, f"stages.{s}.narrow", inputs[t]) for t in rows]
        for i in range(keep.shape[1]):
            where, apart = f"stages.{s}.layers.{i}", 2**i
            seen = (-2 * apart, -apart, 0) if causal else (-apart, 0, apart)
            added = []
            for t in rows:
                hidden = state[f"{where}.dilated.bias"].copy()
                for k, offset in enumerate(seen):
                    if 0 <= t + offset < len(x):
                        hidden += state[f"{where}.dilated.weight"][:, :, k] @ x[t + offset]
                added.append(_linear(state, f"{where}.mixing", np.maximum(hidden, 0)))
            x = [x[t] + keep[s, i, :, t] * added[t] for t in rows]
        scores = np.array([_linear(state, f"stages.{s}.score", x[t]) for t in rows])
        found.append(scores)
        if made.kind == "class":
            inputs = np.array(
                [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in scores]
            )
        else:
            inputs = 1 / (1 + np.exp(-scores))
    return np.array(found)


def _linear(state: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return state[f"{name}.weight"][:, :, 0] @ x + state[f"{name}.bias"]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["class", "multilabel"])
@pytest.mark.parametrize("num_rows", [1, 2, 13])
def test_it_is_what_plain_loops_say(causal: bool, kind: str, num_rows: int) -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(num_rows, D, generator=generator, dtype=torch.float64)
    keep = (torch.rand(2, 3, 4, num_rows, generator=generator, dtype=torch.float64) > 0.5) * 2.0
    made = network(causal=causal, kind=kind)
    for given_keep in (keep, None):
        expected = slow(
            made,
            features.numpy(),
            causal,
            np.ones((2, 3, 4, num_rows)) if given_keep is None else given_keep.numpy(),
        )
        np.testing.assert_allclose(made(features, given_keep).detach(), expected, atol=1e-12)


def _scores(made: TemporalNetwork, features: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = made(features)
    return found


@given(num_rows=st.integers(2, 40), data=st.data())
@settings(max_examples=40)
def test_what_is_causal_sees_no_future_bit_for_bit(num_rows: int, data: st.DataObject) -> None:
    now = data.draw(st.integers(0, num_rows - 2))
    generator = torch.Generator().manual_seed(num_rows)
    features = torch.randn(num_rows, D, generator=generator)
    changed = features.clone()
    changed[now + 1 :] = 1e3 * torch.randn(num_rows - now - 1, D, generator=generator)

    made = network().float()
    before, after = _scores(made, features), _scores(made, changed)
    assert torch.equal(before[:, : now + 1], after[:, : now + 1])
    assert not torch.equal(before[:, now + 1], after[:, now + 1])
    # The other kind looks ahead, so that this test can fail.
    other = network(causal=False).float()
    assert not torch.equal(_scores(other, features)[:, now], _scores(other, changed)[:, now])


@pytest.mark.parametrize("causal", [True, False])
def test_it_sees_as_far_as_its_layers_reach(causal: bool) -> None:
    features = torch.zeros(60, D, dtype=torch.float64)
    changed = features.clone()
    changed[30] = 1.0
    made = network(stages=1, causal=causal)
    (differs,) = torch.nonzero((_scores(made, features) != _scores(made, changed)).any(-1)[0]).T
    reach = 2 * (1 + 2 + 4) if causal else 1 + 2 + 4
    assert (differs.min(), differs.max()) == (30 if causal else 30 - reach, 30 + reach)
