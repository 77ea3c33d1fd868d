"""Fine-tuning's objective against its own formulas, clip by clip in plain loops."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.engine.periodic import evaluating
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import LabelKind, MixConfig, SupervisedConfig
from surgstream.trainer.objectives.label_mixing import draw_mixing
from surgstream.trainer.objectives.masks.masking import draw_drop_path_scales, draw_dropout_scales
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

TINY = SupervisedConfig(
    encoder=EncoderConfig(
        embed_dim=48, depth=3, num_heads=3, image_size=48, num_frames=4, drop_path=0.4
    ),
    kind="class",
    num_outputs=5,
    dropout=0.3,
    init_scale=1.0,
    smoothing=0.2,
)
NUMBERS: dict[str, Any] = {"kind": "number", "num_outputs": 1, "mean": 7.0, "std": 2.5}
CLASSES = torch.tensor([1, 4, 0, 1])
SETS = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]]).float()
LABELS: dict[LabelKind, Tensor] = {
    "class": CLASSES,
    "multilabel": SETS,
    "number": torch.tensor([3.0, 7.5, 14.0, 6.0]),
}


def tiny(**changes: Any) -> Any:
    """A small objective whose biases are not zero, so that a lost one is seen."""
    objective = choice.build(replace(TINY, **changes), seed=11)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return objective


def labelled(kind: LabelKind = "class", draws: Any = (3, 8, 20, 5)) -> ClipBatch:
    return replace(clip_batch(draws), labels=LABELS[kind])


def plain_outputs(objective: Any, clips: Tensor, draws: np.ndarray) -> Tensor:
    """The outputs of training, clip by clip: no final norm, the mean, a LayerNorm, dropout, a matrix."""
    encoder = objective.config.encoder
    scales = draw_drop_path_scales(encoder.drop_path, encoder.shape.depth, 11, 0, draws)
    dropout = draw_dropout_scales(objective.config.dropout, 48, 11, draws)
    rows = []
    for clip, scale, kept in zip(clips, scales, dropout, strict=True):
        tokens = objective.encoder.embedding(clip[None])
        tokens = objective.encoder.blocks(tokens, torch.from_numpy(scale)[None])[0]
        pooled = sum(tokens) / len(tokens)
        centred = pooled - pooled.sum() / 48
        normed = centred / (centred.square().sum() / 48 + 1e-6).sqrt()
        normed = normed * objective.fc_norm.weight + objective.fc_norm.bias
        rows.append(objective.head.weight @ (normed * torch.from_numpy(kept)) + objective.head.bias)
    return torch.stack(rows)


def plain_loss(kind: LabelKind, outputs: Tensor, wanted: Tensor) -> Tensor:
    """The loss, number by number."""
    total = torch.zeros(())
    for z, y in zip(outputs, wanted, strict=True):
        if kind == "class":
            total = total - sum(y[c] * (z[c] - z.exp().sum().log()) for c in range(len(z)))
        elif kind == "multilabel":
            s = 1 / (1 + (-z).exp())
            each = [y[c] * s[c].log() + (1 - y[c]) * (1 - s[c]).log() for c in range(len(z))]
            total = total - sum(each) / len(z)
        else:
            d = (z - y).abs().squeeze()
            total = total + (0.5 * d**2 if d < 1 else d - 0.5)
    return total / len(outputs)


def wanted_of(kind: LabelKind) -> Tensor:
    """What outputs should become, without mixing."""
    if kind == "class":
        rows = [[0.8 * (c == label) + 0.2 / 5 for c in range(5)] for label in CLASSES.tolist()]
        return torch.tensor(rows)
    if kind == "multilabel":
        return SETS
    return ((LABELS["number"] - 7.0) / 2.5)[:, None]


@pytest.mark.parametrize("mix", [None, MixConfig(cutmix=0.0), MixConfig(mixup=0.0)])
@pytest.mark.parametrize("kind", LABELS)
def test_loss_and_gradients_are_those_of_the_formulas(
    kind: LabelKind, mix: MixConfig | None
) -> None:
    told = NUMBERS if kind == "number" else {"kind": kind}
    objective, batch = tiny(mix=mix, **told), labelled(kind)
    loss = loss_of(objective, batch)
    loss.loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in objective.named_parameters()}

    objective.zero_grad()
    clips, wanted = batch.clips, wanted_of(kind)
    if mix:
        drawn = draw_mixing(mix, 11, batch.draws, (48, 48), torch.device("cpu"))
        assert drawn.own_label < 1
        partner = [3, 2, 1, 0]
        own, label = drawn.own_pixels, drawn.own_label
        clips = own * clips + (1 - own) * clips[partner]
        wanted = label * wanted + (1 - label) * wanted[partner]
    expected = plain_loss(kind, plain_outputs(objective, clips, batch.draws), wanted)
    expected.backward()

    torch.testing.assert_close(loss.loss, expected, rtol=1e-5, atol=1e-6)
    for name, parameter in objective.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_accuracy_is_told_of_what_is_not_mixed() -> None:
    objective, batch = tiny(dropout=0.0), labelled()
    predicted = plain_outputs(objective, batch.clips, batch.draws).argmax(1)
    metrics = loss_of(objective, batch).metrics
    assert metrics["train/accuracy"] == (predicted == CLASSES).float().mean()
    assert list(loss_of(tiny(mix=MixConfig()), batch).metrics) == ["loss/cross_entropy"]


@pytest.mark.parametrize("kind", LABELS)
def test_scores_are_probabilities_or_numbers_and_nothing_is_random_about_them(
    kind: LabelKind,
) -> None:
    told = NUMBERS if kind == "number" else {"kind": kind}
    objective, batch = tiny(mix=MixConfig(), **told), labelled(kind)
    without = replace(objective.config, dropout=0.0, encoder=replace(TINY.encoder, drop_path=0.0))
    plain = tiny(**vars(without))
    outputs = plain_outputs(plain, batch.clips, batch.draws).detach()
    scores = objective.scores(batch.clips)
    expected = {
        "class": outputs.exp() / outputs.exp().sum(1, keepdim=True),
        "multilabel": 1 / (1 + (-outputs).exp()),
        "number": 7.0 + 2.5 * outputs,
    }[kind]
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    alone = torch.cat([objective.scores(clip[None]) for clip in batch.clips])
    torch.testing.assert_close(scores, alone, rtol=1e-5, atol=1e-6)

    with evaluating(objective):
        assert objective.draw(batch) == (None, None, None)


def test_what_is_drawn_depends_on_a_clips_own_number_alone() -> None:
    objective = tiny(mix=None)
    together, other = (objective.draw(labelled(draws=draws)) for draws in ((3, 8, 20, 5), (8, 1)))
    assert torch.equal(together.dropout[1], other.dropout[0])
    assert torch.equal(together.drop_path_scales[1], other.drop_path_scales[0])
    assert not torch.equal(together.dropout[0], together.dropout[1])


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    scales = draw_dropout_scales(0.3, 400, 5, np.arange(500))
    assert set(np.unique(scales)) == {0.0, np.float32(1 / 0.7)}
    # Of 200,000 draws: the deviation of the share is 0.001
    assert (scales == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert scales.mean() == pytest.approx(1.0, abs=0.01)
    assert not np.array_equal(scales, draw_dropout_scales(0.3, 400, 6, np.arange(500)))
    assert (draw_dropout_scales(0.0, 3, 5, np.arange(2)) == 1).all()


def test_initial_weights_of_the_head_are_scaled_and_with_0_all_classes_are_alike() -> None:
    whole, half, nothing = (
        choice.build(replace(TINY, init_scale=scale), seed=11) for scale in (1.0, 0.5, 0.0)
    )
    assert torch.equal(0.5 * whole.head.weight, half.head.weight)
    assert 0.01 < whole.head.weight.std() < 0.03 and whole.head.weight.abs().max() <= 0.04
    scores = nothing.eval().scores(labelled().clips)
    assert torch.equal(scores, torch.full((4, 5), 0.2))
    assert loss_of(nothing, labelled()).loss.item() == pytest.approx(math.log(5))


def test_layers_are_as_deep_as_in_surgvistas_code() -> None:
    """Patch embedding 0, blocks 1 to 12, the rest 13."""
    objective = choice.build_on_meta(SupervisedConfig(kind="class", num_outputs=7))
    depths: dict[int, set[str]] = {}
    for name, _ in objective.named_parameters():
        depths.setdefault(objective.depth_of(name), set()).add(".".join(name.split(".")[:3]))
    assert sorted(depths) == list(range(14))
    assert depths[0] == {"encoder.embedding.projection"}
    assert all(depths[i + 1] == {f"encoder.blocks.{i}"} for i in range(12))
    assert depths[13] == {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}


def test_published_numbers() -> None:
    """A ViT-B/16 of 16 frames: 87 M parameters and 180 G multiply-adds, as VideoMAE's paper has it of Kinetics-400."""
    objective = choice.build_on_meta(SupervisedConfig(kind="class", num_outputs=400))
    assert objective.num_tokens == objective.num_visible == 1568 and objective.num_masked == 0
    assert objective.num_parameters()["trainable"] == 86_534_800
    assert objective.encoder.flops(1568, backward=False) / 2e9 == pytest.approx(180, abs=0.5)


@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts() -> None:
    objective, batch = tiny(), labelled()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        loss_of(objective, batch).loss.backward()
    assert counted.get_total_flops() == 4 * sum(objective.flops().values())


@pytest.mark.slow
def test_compiled_losses_and_gradients_are_the_plain_ones(
    graphs: CompileCounterWithBackend,
) -> None:
    encoder = replace(TINY.encoder, depth=1, activation_checkpointing=True)
    plain, fast = (tiny(mix=MixConfig(), encoder=encoder) for _ in range(2))
    fast.compile_parts(backend=graphs, fullgraph=True)
    for draws in ((3, 8, 20, 5), (1, 2, 6, 7)):
        batch = labelled(draws=draws)
        losses = []
        for objective in (plain, fast):
            objective.zero_grad()
            losses.append(loss_of(objective, batch).loss)
            losses[-1].backward()
        torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
        for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert graphs.frame_count == 1


def test_pictures_are_clips_as_they_come_and_as_they_are_mixed() -> None:
    batch = labelled()
    with evaluating(plain := tiny()):
        assert list(plain.pictures(batch)) == ["augmented"]
    with evaluating(mixing := tiny(mix=MixConfig(cutmix=0.0))):
        rows = mixing.pictures(batch)
    assert list(rows) == ["augmented", "mixed"]
    share = draw_mixing(MixConfig(cutmix=0.0), 11, batch.draws, (48, 48), torch.device("cpu"))
    seen = rows["augmented"]
    own = share.own_label
    torch.testing.assert_close(rows["mixed"], own * seen + (1 - own) * seen.flip(0))
    assert rows["mixed"].min() >= 0 and rows["mixed"].max() <= 1


def test_what_no_task_has_told_is_an_error() -> None:
    with pytest.raises(ModelError, match="expected kind and num_outputs, which a task says"):
        choice.build(SupervisedConfig(), seed=0)
    with pytest.raises(ModelError, match="which these clips have not; set a task"):
        tiny().targets(clip_batch([1]))
    assert choice.build_on_meta(SupervisedConfig()).num_parameters()["head"] == 2 * 768 + 769
