"""A bank of heads against heads trained alone, by transformers' pooler and torch's own AdamW."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from surgstream.trainer.readouts.bank_config import AttentiveConfig
from surgstream.trainer.readouts.banks.adamw import StackedAdamW
from surgstream.trainer.readouts.banks.attentive import AttentivePooler
from surgstream.trainer.readouts.banks.bank import HeadBank
from surgstream.trainer.readouts.banks.heads import AttentiveHeads, LinearHeads
from surgstream.trainer.readouts.banks.targets import Target
from tests.trainer.readouts.banks.test_attentive import HEADS, WIDTH, theirs_of

CLASSES = 5
LRS = (1e-2, 1e-3, 1e-4)
DECAYS = (0.1, 0.8, 0.0)
STEPS = 50
CPU = torch.device("cpu")


def attentive(dtype: torch.dtype) -> AttentiveHeads:
    heads = AttentiveHeads(AttentiveConfig(num_heads=HEADS, self_blocks=1), WIDTH, CLASSES)
    heads.initialise(torch.Generator().manual_seed(0))
    return heads.to(dtype)


def examples(dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips of a step whose classes can be told by their tokens."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(CLASSES, WIDTH, generator=generator, dtype=torch.float64)
    while True:
        labels = torch.randint(CLASSES, (4,), generator=generator)
        noise = torch.randn(4, 6, WIDTH, generator=generator, dtype=torch.float64)
        yield (noise + directions[labels][:, None]).to(dtype), labels


class Alone(nn.Module):
    """A head by transformers, with the weights of a copy of ours."""

    def __init__(self, ours: AttentiveHeads) -> None:
        super().__init__()
        self.pooler: VJEPA2AttentivePooler = theirs_of(ours.pooler, 0)
        self.linear = nn.Linear(WIDTH, CLASSES, dtype=ours.linear.weight.dtype)
        with torch.no_grad():
            self.linear.weight.copy_(ours.linear.weight[0])
            assert ours.linear.bias is not None
            self.linear.bias.copy_(ours.linear.bias[0])

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.pooler(tokens))
        return logits


def logits_alone(head: nn.Module, lr: float, decay: float, dtype: torch.dtype) -> Tensor:
    """Logits of new clips after steps of `torch.optim.AdamW`, whose vectors do not decay."""
    is_vector = {p: p.ndim < 2 or "query" in name for name, p in head.named_parameters()}
    groups = [
        {"params": [p for p, vector in is_vector.items() if not vector], "weight_decay": decay},
        {"params": [p for p, vector in is_vector.items() if vector], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    steps = examples(dtype)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1.0 - step / STEPS)
        optimizer.zero_grad()
        for _ in range(2):
            tokens, labels = next(steps)
            loss = F.cross_entropy(head(tokens), labels, label_smoothing=0.1)
            (loss / 2).backward()
        optimizer.step()
    tokens, _ = next(steps)
    return head(tokens).detach()


def logits_together(bank: HeadBank, dtype: torch.dtype) -> Tensor:
    """The same of a bank, by two micro-batches a step."""
    target = Target(kind="class", num_outputs=CLASSES, smoothing=0.1)
    optimizer = StackedAdamW(bank, LRS, DECAYS)
    alive = torch.ones(len(LRS), dtype=torch.bool)
    steps = examples(dtype)
    for step in range(STEPS):
        bank.clear()
        for _ in range(2):
            tokens, labels = next(steps)
            bank.backward(tokens, target.losses_for(labels, 0.5))
        optimizer.step(1.0 - step / STEPS, alive)
    tokens, _ = next(steps)
    return bank.logits(tokens)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)], ids=str
)
def test_all_heads_together_are_each_alone(dtype: torch.dtype, tolerance: float) -> None:
    together = logits_together(HeadBank(attentive(dtype), 3, CPU, heads_at_once=2), dtype)
    for head, (lr, decay) in enumerate(zip(LRS, DECAYS, strict=True)):
        alone = logits_alone(Alone(attentive(dtype)), lr, decay, dtype)
        torch.testing.assert_close(together[head], alone, atol=tolerance, rtol=tolerance)

    # They have learned, and differ
    assert (together[0] - together[2]).abs().max() > 0.1


def linear_bank(num_heads: int = 3) -> HeadBank:
    network = LinearHeads(WIDTH, CLASSES)
    network.initialise(torch.Generator().manual_seed(0))
    return HeadBank(network, num_heads, CPU)


def test_heads_begin_alike_and_groups_change_nothing() -> None:
    tokens, labels = next(examples(torch.float32))
    found = []
    for heads_at_once in (None, 1, 2):
        bank = HeadBank(attentive(torch.float32), 3, CPU, heads_at_once)
        logits = bank.logits(tokens)
        torch.testing.assert_close(logits[0], logits[2])
        target = Target(kind="class", num_outputs=CLASSES)
        bank.backward(tokens, target.losses_for(labels, 1.0))
        found.append(bank.gradients.flat)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-6, rtol=1e-5)


def test_a_dropped_head_stays_as_it_is_and_touches_no_other() -> None:
    bank, other = linear_bank(), linear_bank()
    alive = torch.tensor([True, False, True])
    optimizers = [StackedAdamW(some, LRS, DECAYS) for some in (bank, other)]
    for some in (bank, other):
        some.gradients.flat.fill_(0.5)
    for tensor in bank.gradients.tensors.values():
        tensor[1] = torch.nan
    assert bank.gradients.finite().tolist() == [True, False, True]

    before = bank.weights.of_head(1)
    optimizers[0].step(1.0, alive)
    optimizers[1].step(1.0, torch.ones(3, dtype=torch.bool))
    assert torch.equal(bank.weights.of_head(1), before)
    for head in (0, 2):
        assert torch.equal(bank.weights.of_head(head), other.weights.of_head(head))
    assert not torch.equal(other.weights.of_head(1), before)


def test_a_head_can_be_kept_and_asked_later() -> None:
    bank = linear_bank()
    for number, tensor in enumerate(bank.weights.tensors.values()):
        tensor.copy_(torch.arange(tensor.numel()).view_as(tensor) * 0.01 + number)
    features = torch.ones(2, WIDTH)
    kept = bank.weights.of_head(1)
    expected = bank.logits(features)[1:2]
    bank.weights.flat.zero_()
    torch.testing.assert_close(bank.logits_of_one(kept, features), expected)


def test_losses_are_those_of_one_head_after_another() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 4, CLASSES, generator=generator)
    classes = torch.tensor([0, 4, 2, 2])
    several = torch.rand(4, CLASSES, generator=generator).round()
    numbers = torch.tensor([1.0, 7.0, 3.0, 5.0])

    for head in range(3):
        of_class = Target(kind="class", num_outputs=CLASSES, smoothing=0.2)
        soft = 0.8 * F.one_hot(classes, CLASSES) + 0.2 / CLASSES
        expected = -(soft * logits[head].log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(of_class.losses(logits, classes)[head], expected)

        of_several = Target(kind="multilabel", num_outputs=CLASSES)
        likely = logits[head].sigmoid()
        expected = -(several * likely.log() + (1 - several) * (1 - likely).log()).mean()
        torch.testing.assert_close(of_several.losses(logits, several)[head], expected)

        of_number = Target(kind="number", num_outputs=1, mean=4.0, std=2.0)
        off = (logits[head, :, 0] - (numbers - 4.0) / 2.0).abs()
        expected = torch.where(off < 1, off**2 / 2, off - 0.5).mean()
        torch.testing.assert_close(of_number.losses(logits[..., :1], numbers)[head], expected)
    predicted = of_number.scores(logits[..., :1])
    torch.testing.assert_close(predicted, logits[..., :1] * 2.0 + 4.0)


def test_a_pooler_of_a_bank_has_the_parameters_of_one() -> None:
    bank = HeadBank(attentive(torch.float32), 3, CPU)
    pooler = AttentivePooler(WIDTH, HEADS, 1)
    expected = sum(p.numel() for p in pooler.parameters()) + (WIDTH + 1) * CLASSES
    assert bank.parameters_per_head == expected
