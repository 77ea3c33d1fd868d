"""SALT against loops over tokens, and its networks in integers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.models.videos.teacher import VideoTeacher
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.jepa_config import SaltConfig
from surgstream.trainer.objectives.masks.mask import TokenCount
from surgstream.trainer.objectives.masks.masking import BlockMask, block_mask
from surgstream.trainer.objectives.salt import Salt
from tests.trainer import reference
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

# 3 slices of 4 x 4 tokens; the teacher has another width, depth and kind of positions.
STUDENT = EncoderConfig(
    embed_dim=48, depth=2, num_heads=2, image_size=32, num_frames=6, patch_size=8, positions="rope", drop_path=0.0
)  # fmt: skip
TEACHER = EncoderConfig(
    embed_dim=32, depth=3, num_heads=2, image_size=32, num_frames=6, patch_size=8, positions="sincos"
)  # fmt: skip
TINY = SaltConfig(
    encoder=STUDENT,
    predictor=PredictorConfig(embed_dim=32, depth=2, num_heads=2),
    masks=(
        BlockMask(num_blocks=3, scale=0.2),
        BlockMask(num_blocks=1, scale=0.5, aspect=(0.5, 0.5)),
    ),
    teacher=VideoTeacherConfig(encoder=TEACHER, allow_random=True),
)
NUM_TOKENS = 48


def tiny(**changes: Any) -> Salt:
    """A small objective, none of whose biases is zero."""
    objective = choice.build(replace(TINY, **changes), seed=5)
    assert isinstance(objective, Salt)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (*objective.parameters(), *objective.teacher.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return objective


def batch_of(*g: int) -> ClipBatch:
    return clip_batch(g, STUDENT.image_size, STUDENT.num_frames)


def slow_targets(objective: Salt, batch: ClipBatch, *, normalise: bool) -> list[np.ndarray]:
    """[F3] clip by clip, by the slow transformer, in float64."""
    state = objective.teacher.encoder.state_dict()
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    targets = []
    for clip in batch.clips.double().numpy():
        kept = [(1.0, 1.0)] * TEACHER.shape.depth
        tokens = reference.encode(clip, weights, list(range(NUM_TOKENS)), kept, 2, 2, 8)
        if normalise:
            tokens = np.array([standardised(token) for token in tokens])
        targets.append(tokens)
    return targets


def standardised(token: np.ndarray) -> np.ndarray:
    mean = sum(token) / len(token)
    variance = sum((value - mean) ** 2 for value in token) / len(token)
    return (token - mean) / math.sqrt(variance + 1e-5)


def differences(
    objective: Salt, batch: ClipBatch, targets: list[np.ndarray]
) -> Iterator[list[np.ndarray]]:
    """[F4] less [F3] of every masked token, by kind of mask."""
    for kind, blocks in enumerate(TINY.masks):
        masks = block_mask(STUDENT.grid, blocks, 5, kind, batch.draws)
        visible, masked = map(torch.from_numpy, masks)
        with torch.no_grad():
            encoded = objective.encoder(batch.clips, visible)
            predicted = objective.predictor(encoded, visible, masked, kind)
        yield [
            z - clip[number]
            for clip, tokens, numbers in zip(
                targets, predicted.double().numpy(), masked.tolist(), strict=True
            )
            for z, number in zip(tokens, numbers, strict=True)
        ]


@pytest.mark.parametrize("normalise", [True, False])
def test_targets_are_the_frozen_encoders_tokens(normalise: bool) -> None:
    objective, batch = tiny(normalise_targets=normalise), batch_of(4, 9)
    targets = objective.targets(batch)
    assert targets.shape == (2, NUM_TOKENS, 32) and not targets.requires_grad
    expected = slow_targets(objective, batch, normalise=normalise)
    torch.testing.assert_close(
        targets.double(), torch.from_numpy(np.array(expected)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_and_its_gradient_are_those_of_loops_over_tokens(training: bool) -> None:
    """The gradient of the head's bias is the mean sign of the differences, by the width."""
    objective, batch = tiny().train(training), batch_of(3, 12345, 0)
    targets = slow_targets(objective, batch, normalise=True)
    by_kind, gradient = [], np.zeros(32)
    for tokens in differences(objective, batch, targets):
        by_kind.append(sum(sum(abs(value) for value in token) / 32 for token in tokens))
        by_kind[-1] /= len(tokens)
        gradient += sum(np.sign(token) for token in tokens) / (2 * 32 * len(tokens))

    loss, metrics = loss_of(objective, batch)
    assert loss.item() == pytest.approx(sum(by_kind) / 2, rel=1e-4)
    assert metrics["loss/prediction"] == loss
    for kind, part in enumerate(by_kind):
        assert metrics[f"loss/mask_{kind}"].item() == pytest.approx(part, rel=1e-4)
    assert not any(value.requires_grad for value in metrics.values())

    loss.backward()
    found = objective.predictor.head.bias.grad
    assert found is not None
    # A difference near 0 may have another sign in float32: one of some 60 tokens may
    np.testing.assert_allclose(found.numpy(), gradient, rtol=0, atol=2 / (32 * 60))


def test_the_mean_as_prediction_is_reported_beside_the_loss() -> None:
    objective, batch = tiny(), batch_of(9)
    (clip,) = slow_targets(objective, batch, normalise=True)
    expected = []
    for kind, blocks in enumerate(TINY.masks):
        masked = clip[block_mask(STUDENT.grid, blocks, 5, kind, batch.draws)[1][0]]
        expected.append(np.abs(masked - masked.mean(0)).mean())
    found = loss_of(objective, batch).metrics["loss/prediction_of_mean"]
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_all_that_is_trained_gets_a_gradient_and_the_teacher_none() -> None:
    objective = tiny()
    before = {name: t.clone() for name, t in objective.teacher.state_dict().items()}
    loss_of(objective, batch_of(*range(8))).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in objective.parameters())

    torch.optim.SGD(objective.parameters(), lr=1.0).step()
    objective.after_optimizer_step()
    assert not objective.averages()
    for name, tensor in objective.teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any("teacher" in name for name in objective.state_dict())
    assert not any(module.training for module in objective.train().teacher.modules())


def test_a_random_teacher_is_not_the_student_it_teaches() -> None:
    same = replace(TINY.teacher, encoder=STUDENT)
    first, again = (choice.build(replace(TINY, teacher=same), seed=3) for _ in range(2))
    assert isinstance(first, Salt) and isinstance(again, Salt)
    ours, theirs = first.encoder.state_dict(), first.teacher.encoder.state_dict()
    name = "blocks.0.mlp.0.weight"
    assert not torch.equal(ours[name], theirs[name])
    assert torch.equal(again.teacher.encoder.state_dict()[name], theirs[name])


def test_what_is_handed_on_is_the_encoder_itself() -> None:
    objective, batch = tiny().eval(), batch_of(2)
    assert torch.equal(objective.embed_tokens(batch.clips), objective.encoder(batch.clips))


def test_a_teacher_in_bf16_moves_the_loss_by_hundredths_at_most() -> None:
    batch = batch_of(*range(4))
    half = tiny(teacher=replace(TINY.teacher, dtype="bf16"))
    assert {p.dtype for p in half.teacher.parameters()} == {torch.bfloat16}
    assert 2 * half.frozen_bytes() == tiny().frozen_bytes() > 0
    assert half.targets(batch).dtype == torch.float32
    found, expected = loss_of(half, batch).loss, loss_of(tiny(), batch).loss
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0)


def test_a_teacher_of_other_patches_sees_frames_of_its_own_size() -> None:
    """Its tokens fall on the student's one to one."""
    encoder = replace(TEACHER, image_size=48, patch_size=12)
    objective = tiny(teacher=replace(TINY.teacher, encoder=encoder))
    clips = batch_of(1, 2).clips
    found = objective.teacher(clips)
    resized = torch.stack(
        [
            torch.nn.functional.interpolate(frame, (48, 48), mode="bilinear", antialias=True)
            for frame in clips.unbind(2)
        ],
        dim=2,
    )
    assert found.shape == (2, NUM_TOKENS, 32)
    torch.testing.assert_close(found, objective.teacher.encoder(resized))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compile_parts", "compile_blocks"])
def test_compiled_it_computes_the_same_through_the_same_graphs(
    way: str, traces: CompileCounterWithBackend
) -> None:
    objective = tiny()
    batches = [batch_of(g, g + 1) for g in range(0, 12, 2)]
    plain = [loss_of(objective, batch).loss.item() for batch in batches]
    getattr(objective, way)(backend=traces, fullgraph=True)
    compiled, counts = [], []
    for batch in batches:
        compiled.append(loss_of(objective, batch).loss.item())
        counts.append(traces.frame_count)
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert counts[0] > 0 and set(counts) == {counts[0]}


@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts() -> None:
    objective, batch = tiny(), batch_of(*range(8))
    masks = objective.draw(batch)
    objective.counts = tuple(
        TokenCount(mask.visible.shape[1], mask.masked.shape[1]) for mask in masks
    )
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as teacher:
            targets = objective.targets(batch)
        with FlopCounterMode(display=False) as rest:
            objective(batch, targets).loss.backward()
    flops = objective.flops()
    assert teacher.get_total_flops() == 8 * flops.pop("teacher")
    assert rest.get_total_flops() == 8 * sum(flops.values())


@pytest.mark.parametrize(
    ("student", "teacher", "encoder", "predictor"),
    [
        ("base", "base", 86_236_416, 21_886_080),
        ("large", "large", 303_885_312, 22_082_944),
        ("huge", "large", 631_648_000, 22_181_248),
        ("giant", "large", 1_012_173_952, 22_230_400),
        ("gigantic", "large", 1_843_923_840, 22_328_704),
    ],
)
def test_every_size_has_the_published_networks(
    student: Any, teacher: Any, encoder: int, predictor: int
) -> None:
    """Those of docs/recipes_next.md; the largest have 16 heads."""
    sizes = {
        size: EncoderConfig(size=size, num_heads=num_heads, positions="rope", drop_path=0.0)
        for size, num_heads in ((teacher, None), (student, 16 if student != "base" else None))
    }
    config = SaltConfig(encoder=sizes[student], teacher=VideoTeacherConfig(encoder=sizes[teacher]))
    found = choice.build_on_meta(config).num_parameters()
    teachers = {"base": 86_236_416, "large": 303_885_312}
    assert found == {
        "encoder": encoder, "predictor": predictor, "teacher": teachers[teacher],
        "total": encoder + predictor, "trainable": encoder + predictor,
    }  # fmt: skip


@pytest.mark.slow
def test_training_reaches_below_the_mean() -> None:
    objective, batch = tiny(), batch_of(0, 1)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    targets = objective.targets(batch)
    for _ in range(150):
        optimizer.zero_grad()
        output = objective(batch, targets)
        output.loss.backward()
        optimizer.step()
    metrics = output.metrics
    assert metrics["loss/prediction"] < 0.5 * metrics["loss/prediction_of_mean"]


def test_pictures_and_the_check_of_collapse_show_what_the_teacher_sees() -> None:
    objective, batch = tiny().eval(), batch_of(1, 2, 3)
    rows = objective.pictures(batch)
    assert list(rows) == ["original", "masked", "features", "prediction"]
    assert all(row.shape == (3, 3, 6, 32, 32) for row in rows.values())
    seen = objective.collapse_features(batch)
    masked = objective.draw(batch)[0].masked
    assert seen["targets"].shape == seen["predictions"].shape == (masked.numel(), 32)
    expected = [objective.targets(batch)[clip, tokens] for clip, tokens in enumerate(masked)]
    torch.testing.assert_close(seen["targets"], torch.cat(expected))


def test_building_without_a_teachers_weights_is_an_error() -> None:
    config = replace(TINY, teacher=replace(TINY.teacher, allow_random=False))
    with pytest.raises(ModelError, match="expected a checkpoint, an export or a file of weights"):
        choice.build(config, seed=0)
    build_config(SaltConfig, {}, where="test")


def test_a_teacher_with_weights_has_none_until_they_are_read() -> None:
    config = replace(TINY, teacher=replace(TINY.teacher, weights="teacher.pth", allow_random=False))
    objective = choice.build(config, seed=0)
    assert isinstance(objective, Salt)
    assert all(parameter.is_meta for parameter in objective.teacher.parameters())
    assert not any(parameter.is_meta for parameter in objective.parameters())
    with pytest.raises(NotImplementedError, match="meta"):
        objective.to("cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": []}, "masks: expected at least one kind"),
        ({"encoder": {"positions": "sincos", "drop_path": 0}}, "encoder.positions: expected rope"),
        ({"encoder": {"positions": "rope", "drop_path": 0, "levels": [12, 24]}}, "encoder.levels: expected none"),
        ({"encoder": {"positions": "rope", "drop_path": 0, "images": True}}, "encoder.images: expected false"),
        (
            {"teacher": {"allow_random": True, "encoder": {"image_size": 256}}},
            "teacher.encoder: expected 16 frames and 8 x 14 x 14 tokens, as the student has, got 16 frames and "
            "8 x 16 x 16 tokens; set its",
        ),
        (
            {"teacher": {"allow_random": True, "encoder": {"num_frames": 32, "tubelet_size": 4}}},
            "got 32 frames and 8 x 14 x 14 tokens",
        ),
        ({"teacher": {"allow_random": True, "prefix": "a"}}, "prefix: expected a file of weights that it is about"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    tree: dict[str, object] = {"teacher": {"allow_random": True}} | changes
    with pytest.raises(ConfigError) as raised:
        build_config(SaltConfig, tree, where="test")
    assert message in str(raised.value)


def test_a_read_encoder_of_other_numbers_is_refused() -> None:
    teacher = VideoTeacher(TINY.teacher)
    for changes, message in (
        ({"embed_dim": 48}, "has the shape"),
        ({"num_heads": 4}, "4 attention heads, not 2"),
    ):
        with pytest.raises(ModelError, match=rf"encoder: expected the numbers of .*{message}"):
            teacher.take(Encoder(replace(TEACHER, **changes)), torch.nn.Identity())  # type: ignore[arg-type]
