"""The teacher's features, its settings, and weights of timm's own."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import Grid, TeacherConfig
from surgstream.trainer.models.images.teacher import Teacher, load_teacher
from surgstream.trainer.models.images.timm_vit import timm  # by its one door
from tests.helpers.teachers import GRID, MODEL, last_block_patches, saved, vit


@pytest.fixture(scope="module")
def trained() -> Any:
    return vit()


@pytest.mark.slow
def test_features_are_the_raw_last_block_patches_in_token_order(
    tmp_path: Path, trained: Any
) -> None:
    teacher = saved(tmp_path / "weights.pth", trained.state_dict())
    frames = torch.rand(3, 2, 3, 64, 64).transpose(1, 2)
    features = teacher(frames)
    assert features.shape == (3, 32, 64) and not features.requires_grad
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for b in range(3):
        for s in range(2):
            image = (frames[b, :, s] - mean[:, None, None]) / std[:, None, None]
            expected = last_block_patches(trained, image)
            torch.testing.assert_close(
                features[b, 16 * s : 16 * (s + 1)], expected, rtol=1e-4, atol=1e-4
            )


def test_frames_are_resized_so_that_patches_fall_on_the_student_s_tokens(
    tmp_path: Path, trained: Any
) -> None:
    """A student with patches of 8 pixels has 4 x 4 tokens on 32 pixels; this teacher's patches are twice as large."""
    teacher = saved(tmp_path / "weights.pth", trained.state_dict())
    small = torch.rand(1, 3, 2, 32, 32)
    large = torch.stack(
        [
            torch.nn.functional.interpolate(
                small[:, :, s], (64, 64), mode="bilinear", antialias=True
            )
            for s in (0, 1)
        ],
        2,
    )
    features = teacher(small)
    assert features.shape == (1, 32, 64)
    torch.testing.assert_close(features, teacher(large))


def test_pixels_are_normalised_as_the_teacher_was_trained_and_features_on_request(
    tmp_path: Path, trained: Any
) -> None:
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    config = TeacherConfig(
        model=MODEL,
        image_size=64,
        weights=str(tmp_path / "weights.pth"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        normalise=True,
    )
    frames = torch.rand(1, 3, 2, 64, 64)
    features = load_teacher(config, GRID, seed=0)(frames)
    raw = last_block_patches(trained, frames[0, :, 1])
    expected = (raw - raw.mean(-1, keepdim=True)) / (
        raw.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    torch.testing.assert_close(features[0, 16:], expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_image_size_are_resampled_after_loading(
    tmp_path: Path, trained: Any
) -> None:
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    config = TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth"))
    teacher = load_teacher(config, Grid(1, 6, 6), seed=0)
    assert teacher.model.pos_embed.shape == (1, 37, 64)
    assert torch.equal(teacher.model.pos_embed[:, 0], trained.pos_embed[:, 0])
    assert teacher(torch.rand(1, 3, 1, 96, 96)).shape == (1, 36, 64)


def test_a_teacher_is_frozen_and_in_evaluation_mode() -> None:
    teacher = Teacher(TeacherConfig(model=MODEL), GRID)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    assert not any(name.startswith(("model.norm", "model.head")) for name in teacher.state_dict())


def test_random_weights_need_permission(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        ModelError,
        match=r"got none; set teacher\.weights to one, teacher\.pretrained .*allow_random",
    ):
        load_teacher(TeacherConfig(model=MODEL), GRID, seed=0)
    with caplog.at_level(logging.INFO):
        load_teacher(TeacherConfig(model=MODEL, allow_random=True), GRID, seed=0)
    assert "its features mean nothing" in caplog.text


def test_random_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone() -> None:
    config, before = TeacherConfig(model=MODEL, allow_random=True), torch.get_rng_state()
    first, second, other = (load_teacher(config, GRID, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(
        first["model.blocks.0.mlp.fc1.weight"], other["model.blocks.0.mlp.fc1.weight"]
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_larg_patch16_224", "did you mean 'vit_large_patch16_224'"),
        (
            "hf-hub:someone/something",
            "expected the name of a ViT in timm, got 'hf-hub:someone/something'",
        ),
        ("resnet18", "expected a ViT, got 'resnet18', which is a ResNet"),
    ],
)
def test_models_that_cannot_teach_are_refused(model: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(ModelError) as raised:
        Teacher(TeacherConfig(model=model), GRID)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"pretrained": True, "weights": "a.pth"},
            "pretrained: expected false where weights are given, got true and a.pt",
        ),
        (
            {"prefix": "teacher"},
            "prefix: expected a file of weights that it is about, got 'teacher' and no weights",
        ),
    ],
)
def test_settings_that_contradict_are_refused(
    tree: dict[str, bool | str] | dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TeacherConfig, tree, where="test")


@pytest.mark.parametrize("tree", [{"mean": [0.5]}, {"std": [0.2, 0.2]}])
def test_mean_and_std_are_three_sensible_numbers(tree: dict[str, list[float]]) -> None:
    with pytest.raises(ConfigError, match="mean and std: expected three numbers"):
        build(TeacherConfig, tree, where="test")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's, empty, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.slow
def test_timms_own_weights_come_out_of_its_cache(hub: Path) -> None:
    full = timm.create_model(MODEL, pretrained=False)
    folder = hub / "models--timm--test_vit.r160_in1k"
    (folder / "snapshots" / "1").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1")
    save_file(full.state_dict(), folder / "snapshots" / "1" / "model.safetensors")
    (folder / "snapshots" / "1" / "config.json").write_text(json.dumps({"architecture": MODEL}))
    before = torch.get_rng_state()
    for name in (MODEL, f"{MODEL}.r160_in1k"):
        teacher = load_teacher(TeacherConfig(model=name, pretrained=True), GRID, seed=0)
        for key, tensor in teacher.model.blocks.state_dict().items():
            assert torch.equal(tensor, full.blocks.state_dict()[key])
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"


def test_without_network_and_cache_it_says_how_to_fill_the_cache(hub: Path) -> None:
    with pytest.raises(ModelError) as raised:
        load_teacher(TeacherConfig(model=MODEL, pretrained=True), GRID, seed=0)
    message = str(raised.value)
    assert (
        "run `hf download timm/test_vit.r160_in1k` where there is a network, with the same HF_HOME"
        in message
    )
    assert "\n" not in message


def test_weights_that_timm_does_not_know_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"expected weights of test_vit that timm knows, r160_in1k, got r160"
    ):
        load_teacher(TeacherConfig(model=f"{MODEL}.r160", allow_random=True), GRID, seed=0)
    with pytest.raises(
        ModelError, match="expected a model that timm has weights of, got vit_base_patch32_plus_256"
    ):
        load_teacher(
            TeacherConfig(model="vit_base_patch32_plus_256", pretrained=True), GRID, seed=0
        )


def test_pixels_are_those_that_timm_says_where_its_weights_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    half, imagenet = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)

    def mean(**settings: Any) -> tuple[float, ...]:
        teacher = Teacher(TeacherConfig(**settings), GRID)
        return tuple(round(float(value), 3) for value in teacher.mean.flatten())

    assert mean(model=MODEL) == imagenet
    assert mean(model=f"{MODEL}.r160_in1k") == mean(model=MODEL, pretrained=True) == half
    assert "teacher.mean" not in caplog.text
    assert mean(model=f"{MODEL}.r160_in1k", mean=imagenet) == imagenet
    assert f"{MODEL}.r160_in1k was trained with ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))" in caplog.text


@pytest.mark.parametrize("autocast", [False, True])
def test_a_teacher_in_bf16_gives_the_features_of_one_in_fp32_from_half_the_memory(
    autocast: bool,
) -> None:
    config = TeacherConfig(model=MODEL, image_size=64, allow_random=True)
    exact = load_teacher(config, GRID, seed=0)
    half = load_teacher(replace(config, dtype="bf16"), GRID, seed=0)
    sizes = [sum(weight.nbytes for weight in teacher.parameters()) for teacher in (exact, half)]
    assert sizes[0] == 2 * sizes[1]

    frames = torch.rand(2, 3, 2, 64, 64)
    expected = exact(frames)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        features = half(frames)
    assert features.dtype == torch.bfloat16
    assert torch.cosine_similarity(features.float(), expected, dim=-1).min() > 0.999
