"""The losses and the training of temporal networks."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from surgstream.trainer.models.temporal import TemporalNetwork
from surgstream.trainer.readouts.config import TemporalConfig
from surgstream.trainer.readouts.temporal import (
    LabelledVideo,
    build,
    class_weights,
    keep_masks,
    loss_of,
    predict,
    train,
)

SMALL = TemporalConfig(stages=2, layers=2, width=4, epochs=3)
STAGES, ROWS, CLASSES = 2, 9, 3


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(row: list[float]) -> list[float]:
    total = sum(map(math.exp, row))
    return [math.exp(value) / total for value in row]


@pytest.mark.parametrize("smoothing", [0.0, 0.15])
def test_the_loss_of_classes_is_what_loops_say(smoothing: float) -> None:
    logits = 6 * numbers(STAGES, ROWS, CLASSES)
    truth = torch.arange(ROWS) % CLASSES
    weights = [0.5, 1.0, 3.0]

    expected = []
    for stage in logits.tolist():
        rows = [softmax(row) for row in stage]
        losses = [
            -weights[k] * math.log(row[k]) for row, k in zip(rows, truth.tolist(), strict=True)
        ]
        loss = sum(losses) / sum(weights[k] for k in truth.tolist())
        squares = [
            min(16.0, (math.log(b) - math.log(a)) ** 2)
            for before, after in itertools.pairwise(rows)
            for a, b in zip(before, after, strict=True)
        ]
        assert 16.0 in squares, "the cap is met"
        expected.append(loss + smoothing * sum(squares) / len(squares))
    found = loss_of(logits, truth, torch.tensor(weights), smoothing)
    assert float(found) == pytest.approx(sum(expected) / STAGES, rel=1e-5)


def test_the_loss_of_several_classes_is_what_loops_say() -> None:
    logits = numbers(STAGES, ROWS, CLASSES)
    truth = (numbers(ROWS, CLASSES, seed=2) > 0).float()
    weights = [0.5, 1.0, 3.0]
    total = 0.0
    for stage in logits.tolist():
        for row, said in zip(stage, truth.tolist(), strict=True):
            for w, score, label in zip(weights, row, said, strict=True):
                p = 1 / (1 + math.exp(-score))
                total -= w * math.log(p if label else 1 - p)
    expected = total / STAGES / ROWS / sum(weights)
    assert float(loss_of(logits, truth, torch.tensor(weights), 0.0)) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_earlier_row_gets_no_gradient_from_smoothing() -> None:
    logits = numbers(1, 2, CLASSES).requires_grad_()
    truth = torch.zeros(2, dtype=torch.int64)
    with_it, without = (
        torch.autograd.grad(loss_of(logits, truth, torch.ones(CLASSES), weight), logits)[0]
        for weight in (1.0, 0.0)
    )
    assert torch.equal(with_it[0, 0], without[0, 0])
    assert not torch.allclose(with_it[0, 1], without[0, 1])


def test_classes_weigh_by_their_median_frequency() -> None:
    truths = [torch.tensor([0, 0, 0, 0, 1]), torch.tensor([1, 3])]
    assert class_weights(truths, 4).tolist() == pytest.approx([2 / 4, 2 / 2, 1.0, 2 / 1])
    several = [torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])]
    assert class_weights(several, 3).tolist() == pytest.approx([1.5 / 2, 1.0, 1.5])


def test_dropout_is_a_function_of_key_and_step() -> None:
    config = TemporalConfig(stages=2, layers=3, width=8, dropout=0.25)
    mask = keep_masks(config, 999, key=5, step=7)
    assert mask is not None and mask.shape == (2, 3, 8, 999)
    assert mask.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((mask > 0).float().mean()) == pytest.approx(0.75, abs=0.01)
    for other in ({"key": 6, "step": 7}, {"key": 5, "step": 8}):
        changed = keep_masks(config, 999, **other)
        assert changed is not None
        # Independent masks agree where both keep, or both drop.
        assert float((mask == changed).float().mean()) == pytest.approx(0.75**2 + 0.25**2, abs=0.01)
    assert keep_masks(TemporalConfig(dropout=0.0), 9, key=5, step=7) is None


def test_initial_weights_are_those_of_torch_by_distribution_and_keyed() -> None:
    network = build(SMALL, 64, CLASSES, "class", key=3)
    again = build(SMALL, 64, CLASSES, "class", key=3)
    other = build(SMALL, 64, CLASSES, "class", key=4)
    first = network.stages[0].narrow
    for made, expected in ((again, True), (other, False)):
        assert torch.equal(made.stages[1].score.weight, network.stages[1].score.weight) is expected
    assert first.weight.abs().max().item() == pytest.approx(1 / 8, rel=0.05)
    assert first.weight.std().item() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.1)
    assert 0 < first.bias.abs().max().item() <= 1 / 8


def sequences() -> list[LabelledVideo]:
    """What is true is what the feature said two rows ago: not to be seen without context."""
    videos = []
    for seed in range(3):
        said = torch.from_numpy(np.random.default_rng(seed).integers(0, CLASSES, 40))
        features = torch.nn.functional.one_hot(said, CLASSES).float()
        videos.append(LabelledVideo(features, said.roll(2)))
    return videos


def trained(key: int, epochs: int, lr: float = 1e-2, causal: bool = True) -> TemporalNetwork:
    config = TemporalConfig(
        stages=2, layers=3, width=16, epochs=epochs, dropout=0.1, smoothing_loss=0.01, causal=causal
    )
    network = build(config, CLASSES, CLASSES, "class", key)
    assert train(network, sequences(), config, lr=lr, key=key) is (lr < 1)
    return network


def test_training_is_a_function_of_the_key() -> None:
    torch.manual_seed(0)
    first = trained(1, 2).state_dict()
    torch.manual_seed(1)
    for name, tensor in trained(1, 2).state_dict().items():
        assert torch.equal(tensor, first[name])
    assert not torch.equal(
        trained(2, 2).state_dict()["stages.0.narrow.weight"], first["stages.0.narrow.weight"]
    )


@pytest.mark.slow
def test_it_learns_what_only_context_tells() -> None:
    network = trained(1, 40)
    videos = sequences()
    scores = [predict(network, video.features)[2:] for video in videos]
    np.testing.assert_allclose(torch.cat(scores).sum(1), 1.0, atol=1e-5)
    hits = [s.argmax(1) == video.truth[2:] for s, video in zip(scores, videos, strict=True)]
    assert float(torch.cat(hits).float().mean()) > 0.95


def test_what_diverges_is_told() -> None:
    trained(1, 30, lr=1e30)
