"""Networks of dense heads: sizes, copies, bins of depth, and where they look."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.readouts.banks.bank import HeadBank
from surgstream.trainer.readouts.dense.heads import (
    NUM_BINS,
    CopiedNetwork,
    DenseLinear,
    DenseNetwork,
    DensePyramid,
    DepthOfBins,
)
from surgstream.trainer.readouts.dense.targets import DenseTarget, to_size

WIDTH = 6


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def initialised(network: DenseNetwork) -> DenseNetwork:
    network.initialise(torch.Generator().manual_seed(1))
    return network


def pyramid(num_outputs: int = 2) -> DensePyramid:
    return DensePyramid(WIDTH, num_outputs, (4, 4, 4, 4), 5)


def test_a_linear_head_is_one_product_a_token() -> None:
    head = initialised(DenseLinear(WIDTH, 3))
    tokens = random(1, 2, WIDTH, 4, 5)
    weight, bias = head.get_parameter("linear.weight"), head.get_parameter("linear.bias")

    maps = head(tokens)
    for clip, row, column in ((0, 0, 0), (1, 3, 4), (1, 2, 1)):
        expected = weight[:, :, 0, 0] @ tokens[0, clip, :, row, column] + bias
        assert torch.allclose(maps[clip, :, row, column], expected, atol=1e-6)


@pytest.mark.parametrize("side", [3, 4, 7])
def test_a_pyramid_has_eight_places_a_token(side: int) -> None:
    maps = initialised(pyramid())(random(4, 2, WIDTH, side, side + 1))
    assert maps.shape == (2, 2, 8 * side, 8 * (side + 1))


def test_a_pyramid_sees_all_four_layers() -> None:
    head = initialised(pyramid())
    tokens = random(4, 1, WIDTH, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(head(tokens).square().sum(), tokens)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


def test_every_weight_of_a_pyramid_learns() -> None:
    head = initialised(pyramid())
    head(random(4, 2, WIDTH, 4, 4)).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_bins_become_a_distance() -> None:
    network = DepthOfBins(DenseLinear(WIDTH, NUM_BINS), 10.0, 40.0)
    network.initialise(torch.Generator().manual_seed(1))
    tokens = random(1, 1, WIDTH, 2, 2)
    numbers = network.network(tokens)[0, :, 1, 0].tolist()

    weights = [max(0.0, number) + 0.1 for number in numbers]
    bins = [10 + 30 * i / (NUM_BINS - 1) for i in range(NUM_BINS)]
    expected = sum(w * b for w, b in zip(weights, bins, strict=True)) / sum(weights)
    found = network(tokens).detach()
    assert found.shape == (1, 1, 2, 2)
    assert float(found[0, 0, 1, 0]) == pytest.approx(expected, rel=1e-5)
    assert ((found >= 10) & (found <= 40)).all()


@pytest.mark.parametrize("kind", ["linear", "pyramid", "depth"])
def test_copies_are_networks_of_their_own(kind: str) -> None:
    def make() -> DenseNetwork:
        if kind == "linear":
            return initialised(DenseLinear(WIDTH, 2))
        if kind == "pyramid":
            return initialised(pyramid())
        return initialised(DepthOfBins(pyramid(NUM_BINS), 1.0, 50.0))

    num_layers = 1 if kind == "linear" else 4
    tokens = random(num_layers, 2, WIDTH, 4, 4)
    copied = CopiedNetwork(make(), (num_layers, 1, WIDTH, 4, 4))
    assert copied.flops(16) > 0

    bank = HeadBank(copied, 2, torch.device("cpu"))
    alone = make()
    assert torch.allclose(bank.logits(tokens), torch.stack([alone(tokens)] * 2), atol=1e-5)

    bank.backward(tokens, lambda maps: maps.square().mean((1, 2, 3, 4)))
    alone(tokens).square().mean().backward()
    for name, parameter in alone.named_parameters():
        assert parameter.grad is not None
        found = bank.gradients.tensors[name.replace(".", "/")]
        assert torch.allclose(found[0], parameter.grad, rtol=1e-4, atol=1e-6), name
        assert torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    ("space", "num_outputs"),
    [
        (LabelSpace(kind="mask", classes=("polyp",)), 1),
        (LabelSpace(kind="mask", classes=("hook", "snare")), 3),
        (LabelSpace(kind="depth"), NUM_BINS),
    ],
)
def test_pictures_are_at_the_size_of_the_frame(space: LabelSpace, num_outputs: int) -> None:
    target = DenseTarget(space=space)
    assert target.num_outputs == num_outputs

    num_maps = 1 if space.kind == "depth" else num_outputs
    scores = random(num_maps, 3, 4).abs()
    picture = target.picture(scores, (9, 16))
    whole = F.interpolate(scores[None], size=(9, 16), mode="bilinear")[0]
    if space.kind == "depth":
        expected = whole[0]
    elif num_outputs == 1:
        expected = whole[0].sigmoid()
    else:
        expected = whole.argmax(0).float()
    assert torch.equal(torch.from_numpy(picture), expected)


def test_losses_are_of_each_head_by_itself() -> None:
    target = DenseTarget(space=LabelSpace(kind="mask", classes=("polyp",)))
    maps = random(3, 2, 1, 4, 4)
    labels = (random(2, 16, 16, seed=5) > 0).to(torch.uint8)

    found = target.losses(maps, labels)
    for head in range(3):
        alone = target.losses(maps[head : head + 1], labels)
        assert torch.allclose(found[head], alone[0])
    assert to_size(maps[0], (16, 16)).shape == (2, 1, 16, 16)
