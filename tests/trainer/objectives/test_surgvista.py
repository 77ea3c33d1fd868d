import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD, ClipBatch, ClipName
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import DecoderConfig, EncoderConfig, TeacherConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.pixels import normalise_pixels
from tests.trainer import reference

# 2 slices of 3 x 3 tokens; 6 of 9 tubes masked.
TINY = SurgVistaConfig(
    encoder=EncoderConfig(
        embed_dim=48, depth=3, num_heads=3, image_size=48, num_frames=4, drop_path=0.5
    ),
    reconstruction_decoder=DecoderConfig(depth=2, embed_dim=32, num_heads=2, drop_path=0.4),
    distillation_decoder=DecoderConfig(depth=2, embed_dim=16, num_heads=1, drop_path=0.6),
    teacher=TeacherConfig(model="test_vit", allow_random=True),
    mask_ratio=0.7,
    reconstruction_weight=0.8,
    distillation_weight=0.3,
    smooth_l1_beta=0.6,
)


def clip_batch(g: Sequence[int] | np.ndarray, size: int = 48, frames: int = 4) -> ClipBatch:
    """Random clips that depend on their g alone, as the strided view that the loader hands over."""
    rows = [
        torch.rand(frames, 3, size, size, generator=torch.Generator().manual_seed(int(draw)))
        for draw in g
    ]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    clips = ((torch.stack(rows) - mean) / std).transpose(1, 2)
    names = tuple(ClipName("set", "video", int(draw)) for draw in g)
    return ClipBatch(clips=clips, draws=np.array(g), names=names, valid=np.ones(len(g), bool))


def tiny(**changes: Any) -> Any:
    return choice.build(replace(TINY, **changes), seed=11)


def loss_of(objective: Any, batch: ClipBatch) -> Any:
    return objective(batch, objective.targets(batch))


def published(teacher: str = "vit_large_patch16_224") -> Any:
    return choice.build_on_meta(SurgVistaConfig(teacher=TeacherConfig(model=teacher)))


def test_published_configuration_has_the_published_parameters() -> None:
    parts = published().num_parameters()
    assert parts == {
        "encoder": 87_431_424,
        "reconstruction_decoder": 8_586_240,
        "distillation_decoder": 4_840_960,
        "teacher": 303_299_584,
        "total": 100_858_624,
        "trainable": 98_450_176,
    }
    assert published("vit_base_patch16_224").num_parameters()["total"] == 100_760_064


def test_a_teacher_in_bf16_moves_the_loss_by_a_thousandth_at_most() -> None:
    batch = clip_batch(range(4))
    half = tiny(teacher=replace(TINY.teacher, dtype="bf16"))
    assert half.targets(batch).dtype == torch.bfloat16
    assert 2 * half.frozen_bytes() == tiny().frozen_bytes() > 0
    torch.testing.assert_close(
        loss_of(half, batch).loss, loss_of(tiny(), batch).loss, rtol=1e-3, atol=0
    )


def test_published_configuration_has_the_published_tokens_and_losses() -> None:
    objective, config = published(), SurgVistaConfig()
    assert (objective.num_tokens, objective.num_visible) == (1568, 240)
    assert (config.reconstruction_weight, config.distillation_weight, config.smooth_l1_beta) == (
        1.0,
        0.05,
        1.0,
    )
    assert {config.encoder.drop_path, config.reconstruction_decoder.drop_path} == {0.1}


def test_published_configuration_costs_what_was_published() -> None:
    flops = published().flops()
    assert flops["teacher"] / 2e9 == pytest.approx(492.4, abs=0.05)
    student = (sum(flops.values()) - flops["teacher"]) / 2e9
    # The published count embeds all tokens and takes the pixels' gradient; here the visible ones are embedded, without.
    embedding = 16 * 16 * 2 * 3 * 768 / 1e9
    assert student + embedding * (3 * 1568 - 2 * 240) == pytest.approx(158.2, abs=0.05)
    assert sum(flops.values()) / 1e12 == pytest.approx(1.30, abs=0.01)
    assert flops["teacher"] / sum(flops.values()) == pytest.approx(0.76, abs=0.005)


@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts() -> None:
    objective, batch = tiny(), clip_batch([0, 1])
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as teacher:
            targets = objective.targets(batch)
        with FlopCounterMode(display=False) as student:
            objective(batch, targets).loss.backward()
    flops = objective.flops()
    assert teacher.get_total_flops() == 2 * flops.pop("teacher")
    assert student.get_total_flops() == 2 * sum(flops.values())


def reference_losses(objective: Any, batch: ClipBatch, targets: Any) -> Any:
    """Both losses of a batch from their equations, in float64, clip by clip and token by token."""
    pixels, features = reference_errors(objective, batch, targets)
    distillation = [
        0.5 * error**2 / 0.6 if error < 0.6 else error - 0.3 for error in np.abs(features).flatten()
    ]
    return np.mean(pixels**2), np.mean(distillation)


def reference_errors(objective: Any, batch: ClipBatch, targets: Any = None) -> Any:
    """What predictions lack of the pixels (tokens, 1536) and, with targets, of the features (tokens, D)."""
    state = {name: tensor.double().numpy() for name, tensor in objective.state_dict().items()}

    def part(name: str) -> dict[str, np.ndarray]:
        return {
            key.removeprefix(f"{name}."): value
            for key, value in state.items()
            if key.startswith(f"{name}.")
        }

    of_pixels, of_features = [], []
    for number, (clip, g) in enumerate(zip(batch.clips.double().numpy(), batch.draws, strict=True)):
        tubes = reference.masked_tubes(11, int(g), 9, 6)
        masked = tubes + [9 + tube for tube in tubes]
        visible = [token for token in range(18) if token not in masked]
        rates = (
            ((0.5, 3), (0.4, 2), (0.6, 2)) if objective.training else ((0.0, 3), (0.0, 2), (0.0, 2))
        )
        scales = [
            reference.drop_path_scales(rate, depth, 11, i, int(g))
            for i, (rate, depth) in enumerate(rates)
        ]
        encoded = reference.encode(clip, part("encoder"), visible, scales[0], 3, 2, 16)
        places = (visible, masked)
        pixels = reference.decode(
            encoded, part("reconstruction_decoder"), *places, scales[1], 2, 3, 3
        )
        for i, token in enumerate(masked):
            tubelet = reference.tubelet(clip, token, 2, 16).reshape(3, 512)
            true = []
            for channel in range(3):
                values = tubelet[channel] * IMAGENET_STD[channel] + IMAGENET_MEAN[channel]
                mean = sum(values) / 512
                deviation = math.sqrt(sum((values - mean) ** 2) / 511) + 1e-6
                true.append((values - mean) / deviation)
            of_pixels.append(np.concatenate(true) - pixels[i])
        if targets is None:
            continue
        predicted = reference.decode(
            encoded, part("distillation_decoder"), *places, scales[2], 1, 3, 3
        )
        of_features += list(targets[number].double().numpy()[masked] - predicted)
    return np.array(of_pixels), np.array(of_features)


@pytest.mark.parametrize("training", [True, False])
def test_losses_equal_the_slow_reference(training: bool) -> None:
    objective, batch = tiny().train(training), clip_batch([3, 12345, 0])
    targets = objective.targets(batch)
    loss, metrics = objective(batch, targets)
    reconstruction, distillation = reference_losses(objective, batch, targets)
    assert metrics["loss/reconstruction"].item() == pytest.approx(reconstruction, rel=1e-5)
    assert metrics["loss/distillation"].item() == pytest.approx(distillation, rel=1e-5)
    assert loss.item() == pytest.approx(0.8 * reconstruction + 0.3 * distillation, rel=1e-5)
    assert not any(value.requires_grad for value in metrics.values())


ALONE: dict[str, Any] = {"teacher": None, "distillation_weight": 0.0}


@pytest.mark.parametrize("training", [True, False])
def test_without_a_teacher_loss_and_gradient_are_those_of_the_pixels(training: bool) -> None:
    """The gradient of the head's bias is the mean of twice what the predictions have too much, by the pixels."""
    objective, batch = tiny(**ALONE).train(training), clip_batch([3, 12345, 0])
    assert objective.targets(batch) is None
    errors, _ = reference_errors(objective, batch)
    loss, metrics = loss_of(objective, batch)
    assert sorted(metrics) == ["loss/reconstruction", "loss/reconstruction_of_mean"]
    assert metrics["loss/reconstruction"].item() == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert loss.item() == pytest.approx(0.8 * np.mean(errors**2), rel=1e-5)

    loss.backward()
    gradient = objective.reconstruction_decoder.head.bias.grad.double().numpy()
    expected = [0.8 * -2 * sum(column) / len(column) / 1536 for column in errors.T]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-9)


def test_without_a_teacher_all_else_is_as_with_one() -> None:
    """The encoder and its decoder begin with the same weights, and have the same draws."""
    alone, both, batch = tiny(**ALONE), tiny(), clip_batch([1, 2])
    weights = both.state_dict()
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    left = {name.partition(".")[0] for name in weights.keys() - alone.state_dict().keys()}
    assert left == {"distillation_decoder"}
    part = loss_of(both, batch).metrics["loss/reconstruction"]
    assert loss_of(alone, batch).metrics["loss/reconstruction"] == part


def test_without_a_teacher_none_is_counted_loaded_or_run() -> None:
    """Of the published numbers as well; its parameters are those of the paper's without the second decoder's."""
    objective = choice.build_on_meta(SurgVistaConfig(**ALONE))
    assert objective.num_parameters() == {
        "encoder": 87_431_424,
        "reconstruction_decoder": 8_586_240,
        "total": 96_017_664,
        "trainable": 98_450_176 - 4_840_960 + 1568 * 384,
    }
    flops = published().flops()
    del flops["teacher"], flops["distillation_decoder"]
    assert objective.flops() == flops
    assert objective.frozen_bytes() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation_weight": 0}, "nowhere else, got a teacher with 0"),
        ({"teacher": None}, "expected null where distillation_weight is 0, and nowhere else, got no teacher with 0.05"),
    ],
)  # fmt: skip
def test_a_teacher_without_a_loss_and_a_loss_without_a_teacher_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        build_config(SurgVistaConfig, changes, where="test")
    assert message in str(raised.value)
    build_config(SurgVistaConfig, ALONE, where="test")


def test_targets_are_the_teachers_features_of_the_first_frame_of_each_tubelet() -> None:
    objective, batch = tiny(), clip_batch([4])
    targets = objective.targets(batch)
    assert targets.shape == (1, 18, 64) and not targets.requires_grad
    pixels = batch.clips.clone()
    pixels[:, :, 1::2] = 0.0
    assert torch.equal(objective.targets(replace(batch, clips=pixels)), targets)
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(objective.teacher(batch.clips[:, :, [0, 2]] * std + mean), targets)


def test_a_batch_is_the_mean_of_its_parts_in_any_order() -> None:
    objective = tiny()
    whole = loss_of(objective, clip_batch([5, 6, 7, 8]))
    parts = [loss_of(objective, clip_batch(g)) for g in ([8, 5], [7, 6])]
    torch.testing.assert_close(
        whole.loss, sum(part.loss for part in parts) / 2, rtol=1e-6, atol=1e-6
    )
    for key, value in whole.metrics.items():
        torch.testing.assert_close(
            value, sum(part.metrics[key] for part in parts) / 2, rtol=1e-6, atol=1e-6
        )


def test_gradients_of_a_batch_are_the_mean_of_its_parts() -> None:
    gradients = []
    for deals in ([[5, 6, 7, 8]], [[8, 5], [7, 6]]):
        objective = tiny()
        for g in deals:
            (loss_of(objective, clip_batch(g)).loss / len(deals)).backward()
        gradients.append([p.grad for p in objective.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


def test_the_mean_as_prediction_is_reported_beside_the_losses() -> None:
    objective, batch = tiny(), clip_batch([9])
    targets = objective.targets(batch)
    metrics = objective(batch, targets).metrics
    assert metrics["loss/reconstruction_of_mean"].item() == pytest.approx(511 / 512, rel=1e-3)
    masked = [t + 9 * s for s in range(2) for t in reference.masked_tubes(11, 9, 9, 6)]
    features = targets[0, masked]
    error = (features - features.mean(0)).abs()
    expected = torch.where(error < 0.6, 0.5 * error**2 / 0.6, error - 0.3).mean()
    torch.testing.assert_close(metrics["loss/distillation_of_mean"], expected)


def test_normalised_pixels_have_no_mean_and_unit_unbiased_deviation_and_flat_ones_are_zero() -> (
    None
):
    tubelets = torch.rand(2, 3, 3 * 512)
    tubelets[0, 0] = 0.25
    normalised, mean, std = normalise_pixels(tubelets)
    assert (normalised[0, 0] == 0).all()
    channels = normalised.view(2, 3, 3, 512)
    torch.testing.assert_close(channels.mean(-1), torch.zeros(2, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels[1].std(-1), torch.ones(3, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close((channels * std + mean).flatten(2), tubelets)


def test_the_teacher_is_neither_optimised_nor_saved_but_moves_along() -> None:
    objective = tiny()
    assert not any("teacher" in name for name in objective.state_dict())
    assert not any("teacher" in name for name, _ in objective.named_parameters())
    assert not any(module is objective.teacher for module in objective.modules())
    before = {name: tensor.clone() for name, tensor in objective.teacher.state_dict().items()}
    loss_of(objective, clip_batch([1])).loss.backward()
    torch.optim.SGD(objective.parameters(), lr=1.0).step()
    objective.after_optimizer_step()
    assert all(
        torch.equal(before[name], tensor) for name, tensor in objective.teacher.state_dict().items()
    )
    assert not any(module.training for module in objective.train().teacher.modules())
    objective.to(torch.float64)
    assert all(tensor.dtype == torch.float64 for tensor in objective.teacher.parameters())


def test_every_trained_parameter_gets_a_gradient() -> None:
    objective = tiny()
    loss_of(objective, clip_batch(range(8))).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())


def test_building_is_a_function_of_the_seed_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (choice.build(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(
        first["encoder.blocks.0.mlp.0.weight"], other["encoder.blocks.0.mlp.0.weight"]
    )


def test_building_without_a_teachers_weights_is_an_error() -> None:
    with pytest.raises(ModelError, match="expected a file of weights, got none"):
        tiny(teacher=TeacherConfig(model="test_vit"))


@pytest.mark.slow
def test_training_reaches_below_the_mean_in_both_losses() -> None:
    objective = tiny(encoder=replace(TINY.encoder, drop_path=0.0))
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    batch = clip_batch([0, 1])
    batch.clips[:] = torch.linspace(-2, 2, 48) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)
    targets = objective.targets(batch)
    for _ in range(60):
        optimizer.zero_grad()
        output = objective(batch, targets)
        output.loss.backward()
        optimizer.step()
    metrics = output.metrics
    assert metrics["loss/reconstruction"] < 0.5 * metrics["loss/reconstruction_of_mean"]
    assert metrics["loss/distillation"] < 0.5 * metrics["loss/distillation_of_mean"]


def test_pictures_paste_what_is_visible_and_paint_what_is_masked() -> None:
    objective, batch = tiny(), clip_batch([21, 22])
    rows = objective.pictures(batch)
    assert list(rows) == ["original", "masked", "reconstruction", "error"]
    assert all(
        row.shape == (2, 3, 4, 48, 48) and row.min() >= 0 and row.max() <= 1
        for row in rows.values()
    )
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(rows["original"], (batch.clips * std + mean).clamp(0, 1))
    for i, g in enumerate((21, 22)):
        tubes = reference.masked_tubes(11, g, 9, 6)
        for token in range(18):
            tubelets = {
                name: reference.tubelet(row[i].numpy(), token, 2, 16) for name, row in rows.items()
            }
            if token % 9 in tubes:
                assert (tubelets["masked"] == 0.5).all()
                assert (tubelets["reconstruction"] != tubelets["original"]).any()
            else:
                assert (tubelets["masked"] == tubelets["original"]).all()
                assert (tubelets["reconstruction"] == tubelets["original"]).all()
                assert (tubelets["error"] == 0).all()
    difference = (rows["original"] - rows["reconstruction"]).abs().mean(1, keepdim=True)
    torch.testing.assert_close(
        rows["error"], (4 * difference).clamp(max=1).expand(-1, 3, -1, -1, -1)
    )


def test_a_perfect_prediction_would_paint_the_original() -> None:
    objective, batch = tiny(), clip_batch([30])
    decoder = objective.reconstruction_decoder
    truth = normalise_pixels(objective.pixels._tubelets(batch.clips))[0]
    decoder.forward = lambda encoded, visible, masked: truth[:, masked[0]]
    rows = objective.pictures(batch)
    torch.testing.assert_close(rows["reconstruction"], rows["original"], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_activation_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for on in (False, True):
        parts = ("encoder", "reconstruction_decoder", "distillation_decoder")
        objective = tiny(
            **{part: replace(getattr(TINY, part), activation_checkpointing=on) for part in parts}
        )
        loss_of(objective, clip_batch([1, 2])).loss.backward()
        gradients.append([p.grad for p in objective.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_published_configuration_is_what_an_empty_section_means() -> None:
    assert build_config(SurgVistaConfig, {}, where="test") == SurgVistaConfig()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"mask_ratio": 1.0},
            "mask_ratio: expected some of a slice's 196 tokens masked and some visible, got 1.0",
        ),
        ({"mask_ratio": 0.0}, "mask_ratio"),
        ({"smooth_l1_beta": 0.0}, "smooth_l1_beta"),
        ({"encoder": {"patch_size": 0}}, "encoder.patch_size: expected 1 to"),
        (
            {"distillation_decoder": {"embed_dim": 64}},
            "distillation_decoder: embed_dim: expected a multiple of num_heads (6)",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    tree: dict[str, dict[str, int]] | dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        build_config(SurgVistaConfig, tree, where="test")
    assert message in str(raised.value)
