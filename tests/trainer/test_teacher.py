import argparse
import logging

import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ConfigError
from configs.loading import build
from trainer.errors import ModelError
from trainer.models.config import Grid, TeacherConfig
from trainer.models.teacher import Teacher, load_teacher, timm  # timm by its one door

# timm's own model for tests: 64 wide, 6 blocks, patches of 16, a class token; 160 pixels unless told otherwise.
MODEL = "test_vit"
GRID = Grid(2, 4, 4)


@pytest.fixture(scope="module")
def trained():
    """A timm model with all it has, norm and head included, at the clips' size of 64 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model(MODEL, num_classes=10, img_size=64).eval()


def saved(path, content):
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    return load_teacher(TeacherConfig(model=MODEL, image_size=64, weights=str(path)), GRID, seed=0)


def last_block_patches(model, image):
    """What the last block puts out for one image (C, H, W), without the class token, by way of a hook."""
    seen = []
    handle = model.blocks[-1].register_forward_hook(lambda _module, _input, output: seen.append(output))
    with torch.no_grad():
        model(image[None])
    handle.remove()
    return seen[0][0, model.num_prefix_tokens :]


def test_features_are_the_raw_last_block_patches_in_token_order(tmp_path, trained):
    teacher = saved(tmp_path / "weights.pth", trained.state_dict())
    frames = torch.rand(3, 2, 3, 64, 64).transpose(1, 2)
    features = teacher(frames)
    assert features.shape == (3, 32, 64) and not features.requires_grad
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for b in range(3):
        for s in range(2):
            image = (frames[b, :, s] - mean[:, None, None]) / std[:, None, None]
            expected = last_block_patches(trained, image)
            torch.testing.assert_close(features[b, 16 * s : 16 * (s + 1)], expected, rtol=1e-4, atol=1e-4)


def test_frames_are_resized_so_that_patches_fall_on_the_student_s_tokens(tmp_path, trained):
    """A student with patches of 8 pixels has 4 x 4 tokens on 32 pixels; this teacher's patches are twice as large."""
    teacher = saved(tmp_path / "weights.pth", trained.state_dict())
    small = torch.rand(1, 3, 2, 32, 32)
    large = torch.stack(
        [torch.nn.functional.interpolate(small[:, :, s], (64, 64), mode="bilinear", antialias=True) for s in (0, 1)], 2
    )
    features = teacher(small)
    assert features.shape == (1, 32, 64)
    torch.testing.assert_close(features, teacher(large))


def test_pixels_are_normalised_as_the_teacher_was_trained_and_features_on_request(tmp_path, trained):
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
    expected = (raw - raw.mean(-1, keepdim=True)) / (raw.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(features[0, 16:], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "args": argparse.Namespace(lr=1e-3), "epoch": 3},
        lambda state: {"state_dict": {f"module.encoder.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"teacher": {f"backbone.{name}": tensor for name, tensor in state.items()}, "student": state},
        lambda state: {"target_encoder": {f"module.{name}": tensor for name, tensor in state.items()}, "encoder": {}},
        lambda state: {
            "state_dict": {"model": {**state, "fc.fc1.weight": torch.zeros(3), "mask_token": torch.zeros(1)}}
        },
        lambda state: {name: tensor for name, tensor in state.items() if not name.startswith(("norm.", "head."))},
    ],
)
def test_weights_come_out_of_common_wrappings(tmp_path, trained, wrap):
    teacher = saved(tmp_path / "weights.pth", wrap(trained.state_dict()))
    for name, tensor in teacher.model.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])


def test_safetensors_and_half_precision_files_load(tmp_path, trained):
    half = {name: tensor.half() for name, tensor in trained.state_dict().items()}
    teacher = saved(tmp_path / "weights.safetensors", half)
    for name, tensor in teacher.model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, half[name].float())


def test_weights_of_another_image_size_are_resampled_after_loading(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    config = TeacherConfig(model=MODEL, image_size=64, weights=str(tmp_path / "weights.pth"))
    teacher = load_teacher(config, Grid(1, 6, 6), seed=0)
    assert teacher.model.pos_embed.shape == (1, 37, 64)
    assert torch.equal(teacher.model.pos_embed[:, 0], trained.pos_embed[:, 0])
    assert teacher(torch.rand(1, 3, 1, 96, 96)).shape == (1, 36, 64)


def test_a_teacher_is_frozen_and_in_evaluation_mode():
    teacher = Teacher(TeacherConfig(model=MODEL), GRID)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    assert not any(name.startswith(("model.norm", "model.head")) for name in teacher.state_dict())


def test_random_weights_need_permission(caplog):
    with pytest.raises(ModelError, match=r"got none; set teacher\.weights to one, or teacher\.allow_random"):
        load_teacher(TeacherConfig(model=MODEL), GRID, seed=0)
    with caplog.at_level(logging.INFO):
        load_teacher(TeacherConfig(model=MODEL, allow_random=True), GRID, seed=0)
    assert "its features mean nothing" in caplog.text


def test_random_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone():
    config, before = TeacherConfig(model=MODEL, allow_random=True), torch.get_rng_state()
    first, second, other = (load_teacher(config, GRID, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.blocks.0.mlp.fc1.weight"], other["model.blocks.0.mlp.fc1.weight"])


def test_weights_of_another_architecture_are_refused_key_by_key(tmp_path, trained):
    state = trained.state_dict()
    del state["blocks.5.mlp.fc1.bias"]
    state["blocks.0.attn.qkv.weight"] = torch.zeros(3, 3)
    state |= {f"blocks.{i}.norm1.weight": torch.zeros(64) for i in range(6, 10)}
    with pytest.raises(ModelError) as raised:
        saved(tmp_path / "weights.pth", state)
    message = str(raised.value)
    assert "\n" not in message
    assert f"of {MODEL}, got {tmp_path / 'weights.pth'}" in message
    assert "1 missing from the file (blocks.5.mlp.fc1.bias)" in message
    assert "4 not of this model (blocks.6.norm1.weight, blocks.7.norm1.weight, blocks.8.norm1.weight, ...)" in message
    assert "1 of another shape (blocks.0.attn.qkv.weight (3, 3) instead of (192, 64))" in message


def test_weights_of_another_image_size_say_so(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    config = TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth"))
    with pytest.raises(ModelError, match=r"pos_embed \(1, 17, 64\) instead of \(1, 101, 64\)\); set .*image_size"):
        load_teacher(config, GRID, seed=0)


def test_two_networks_in_one_file_are_refused(tmp_path, trained):
    state = trained.state_dict()
    with pytest.raises(ModelError, match="cls_token twice"):
        saved(tmp_path / "weights.pth", {**state, "encoder.cls_token": state["cls_token"]})


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"these are no weights\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, suffix, content):
    path = tmp_path / f"weights.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        load_teacher(TeacherConfig(model=MODEL, weights=str(path)), GRID, seed=0)
    message = str(raised.value)
    assert str(path) in message and "\n" not in message
    assert ("No such file" in message) == (content is None)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"model": ModelError("anything but tensors")}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"nothing to run, got .* does not load as one"):
        load_teacher(TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth")), GRID, seed=0)


def test_a_file_without_named_tensors_is_refused(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"expected named tensors in .*, got a list"):
        load_teacher(TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth")), GRID, seed=0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_larg_patch16_224", "did you mean 'vit_large_patch16_224'"),
        ("hf-hub:someone/something", "expected the name of a ViT in timm, got 'hf-hub:someone/something'"),
        ("resnet18", "expected a ViT, got 'resnet18', which is a ResNet"),
    ],
)
def test_models_that_cannot_teach_are_refused(model, message):
    with torch.device("meta"), pytest.raises(ModelError) as raised:
        Teacher(TeacherConfig(model=model), GRID)
    assert message in str(raised.value)


@pytest.mark.parametrize("tree", [{"mean": [0.5]}, {"std": [0.2, 0.2, 0.0]}])
def test_mean_and_std_are_three_sensible_numbers(tree):
    with pytest.raises(ConfigError, match="mean and std: expected three numbers"):
        build(TeacherConfig, tree, where="test")
