"""Image models of timm, frame by frame, against timm itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.images.timm_vit import timm
from tests.helpers.published import published
from tests.trainer.encoders.clips import assert_close, clips_for

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Of each model the rows and columns of its own size, and of another one.
GRIDS = {"test_vit": (10, 6), "test_vit3": (10, 6), "test_convnext": (5, 3), "test_resnet": (5, 3)}


def made_up(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(8)
        model = timm.create_model(name, num_classes=9, **options).eval()
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape)
    return model


def saved(path: Path, name: str, **options: Any) -> Any:
    model = made_up(name, **options)
    save_file(model.state_dict(), path)
    return model


def for_file(name: str, **others: Any) -> FrozenConfig:
    return FrozenConfig(layout="timm", model=name, **others)


def images_of(clips: Tensor, mean: Any, std: Any) -> Tensor:
    """The frames (B T, 3, H, W) of clips, normalised anew."""
    ours = torch.tensor(IMAGENET).view(2, 1, 3, 1, 1, 1)
    theirs = torch.tensor([mean, std]).view(2, 1, 3, 1, 1, 1)
    pixels = clips * ours[1] + ours[0]
    return ((pixels - theirs[0]) / theirs[1]).transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def patches_of(model: Any, images: Tensor) -> Tensor:
    """Tokens (images, n, D) by timm's other way to get at them."""
    (maps,) = model.forward_intermediates(
        images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
    )
    tokens: Tensor = maps.flatten(2).transpose(1, 2)
    return tokens


@torch.no_grad()
def pooled_of(model: Any, images: Tensor) -> Tensor:
    pooled: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return pooled


@pytest.mark.parametrize("name", GRIDS)
def test_a_file_of_a_model(name: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "w.safetensors", name)
    encoder = load_frozen(str(tmp_path / "w.safetensors"), for_file(name, num_frames=3), seed=0)
    assert encoder.grid == (3, GRIDS[name][0], GRIDS[name][0])
    assert (encoder.name, encoder.image_size, encoder.fps) == ("w", 160, None)

    clips = clips_for(encoder)
    images = images_of(clips, *IMAGENET)
    tokens = encoder.tokens(clips)
    assert_close(tokens.unflatten(1, (3, -1)).flatten(0, 1), patches_of(model, images))
    assert tokens.shape == (2, encoder.grid.num_tokens, encoder.embed_dim)

    expected = pooled_of(model, images).unflatten(0, (2, 3))
    assert_close(encoder.slices(clips), expected)
    assert_close(encoder.pooled(clips), expected.mean(1))
    assert encoder.pooled_dim == expected.shape[-1]


@pytest.mark.parametrize("name", GRIDS)
def test_images_of_another_size(name: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "w.safetensors", name)
    config = for_file(name, image_size=96)
    encoder = load_frozen(str(tmp_path / "w.safetensors"), config, seed=0)
    assert encoder.grid == (1, GRIDS[name][1], GRIDS[name][1])
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(96, 96))
    clips = clips_for(encoder)
    assert_close(encoder.pooled(clips), pooled_of(model, images_of(clips, *IMAGENET)))


def test_the_size_of_a_vit_is_that_of_its_positions(tmp_path: Path) -> None:
    model = saved(tmp_path / "w.safetensors", "test_vit", img_size=64)
    encoder = load_frozen(str(tmp_path / "w.safetensors"), for_file("test_vit"), seed=0)
    assert encoder.image_size == 64
    clips = clips_for(encoder)
    assert_close(encoder.pooled(clips), pooled_of(model, images_of(clips, *IMAGENET)))


def test_the_tag_of_a_file_tells_its_pixels(tmp_path: Path) -> None:
    name = "test_vit.r160_in1k"
    model = saved(tmp_path / "w.safetensors", "test_vit")
    encoder = load_frozen(str(tmp_path / "w.safetensors"), for_file(name), seed=0)
    clips = clips_for(encoder)
    halves = (0.5, 0.5, 0.5)
    assert_close(encoder.pooled(clips), pooled_of(model, images_of(clips, halves, halves)))


def test_a_folder_that_timm_saved(tmp_path: Path) -> None:
    model = saved(tmp_path / "model.safetensors", "test_vit")
    described = {"architecture": "test_vit", "pretrained_cfg": {"tag": "r160_in1k"}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    encoder = load_frozen(str(tmp_path), FrozenConfig(), seed=0)
    clips = clips_for(encoder)
    halves = (0.5, 0.5, 0.5)
    assert_close(encoder.pooled(clips), pooled_of(model, images_of(clips, halves, halves)))


def test_timms_own_weights_are_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network: what timm would download is put in its place."""
    made = made_up("test_convnext")
    asked = []

    def create(name: str, *, pretrained: bool, num_classes: int) -> Any:
        asked.append((name, pretrained))
        model = original(name, pretrained=False, num_classes=num_classes)
        if pretrained:
            model.load_state_dict(made.state_dict(), strict=False)
        return model

    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    encoder = load_frozen("timm:test_convnext", FrozenConfig(num_frames=2), seed=0)
    assert ("test_convnext", True) in asked

    known = timm.get_pretrained_cfg("test_convnext")
    clips = clips_for(encoder)
    expected = pooled_of(made, images_of(clips, known.mean, known.std))
    assert_close(encoder.slices(clips).flatten(0, 1), expected)
    assert encoder.name == "timm:test_convnext"


def test_weights_out_of_reach_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **options: Any) -> Any:
        raise OSError("no route to host\nat all")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        ModelError,
        match=r"weights: expected the weights of test_vit in timm's cache.*route to host; run `hf download .*, or set",
    ):
        load_frozen("timm:test_vit", FrozenConfig(), seed=0)


def test_a_file_of_dinos_names(tmp_path: Path) -> None:
    """Scales, a mask token and a head that the encoder has no use for, under a wrapper's prefix."""
    model = made_up("test_vit")
    content = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    content |= {
        "backbone.mask_token": torch.zeros(1, 64),
        "dino_head.last.weight": torch.zeros(2, 2),
    }
    torch.save({"teacher": content}, tmp_path / "w.pth")
    encoder = load_frozen(str(tmp_path / "w.pth"), for_file("test_vit"), seed=0)
    clips = clips_for(encoder)
    assert_close(encoder.tokens(clips), patches_of(model, images_of(clips, *IMAGENET)))


@pytest.mark.parametrize(
    ("weights", "config", "message"),
    [
        ("timm:test_vitt", FrozenConfig(), r"weights: .*timm, got 'test_vitt'; did you mean 'test_vit'\?"),
        ("timm:test_vit.nope", FrozenConfig(), r"expected weights of test_vit that timm knows, r160_in1k, got"),
        ("timm:test_vit", FrozenConfig(shape=EncoderConfig()), "encoder.shape: expected None with weights timm"),
        ("timm:test_vit", FrozenConfig(prefix="a"), "encoder.prefix: expected None with weights timm:test_vit"),
        ("random:timm:test_vit", FrozenConfig(image_size=97), "encoder.image_size: expected a size that"),
        ("w.safetensors", FrozenConfig(layout="timm"), "encoder.model: expected the name of the timm model"),
        (
            "w.safetensors", for_file("test_convnexxt"),
            r"encoder.model: expected the name of a model in timm, got 'test_convnexxt'; did you mean 'test_convnext",
        ),
        ("w.safetensors", for_file("test_convnext"), "encoder: .*w.safetensors: expected the weights of timm's"),
        ("w.safetensors", for_file("test_vit2"), "expected the weights of test_vit2, got others: "),
        ("w.safetensors", for_file("test_vit", shape=EncoderConfig()), "encoder.shape: expected null"),
        ("w.safetensors", for_file("test_vit", prefix="student"), "expected encoder.prefix to be one of ''"),
        ("w.safetensors", FrozenConfig(), r"fit none of ours, and a file of an image model is timm with encoder.model"),
        ("nowhere.pth", for_file("test_vit"), "weights: expected a file of weights, got .*nowhere.pth: No such file"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(
    weights: str,
    config: FrozenConfig,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "w.safetensors", "test_vit")
    with pytest.raises(ModelError, match=message):
        load_frozen(weights, config, seed=0)


def test_operations_of_a_vit_are_those_of_its_matrices() -> None:
    encoder = load_frozen("random:timm:test_vit", FrozenConfig(num_frames=3), seed=0)
    model: Any = encoder.model
    num_patches = 100
    num_tokens = num_patches + 1
    per_block = 12 * 64**2 if model.blocks[0].mlp.fc1.out_features == 256 else 10 * 64**2
    matrices = num_patches * 3 * 16**2 * 64 + len(model.blocks) * num_tokens * per_block
    attention = len(model.blocks) * 2 * num_tokens**2 * 64
    assert encoder.flops() == 3 * 2 * (matrices + attention)


def test_operations_of_convolutions_are_those_of_their_layers() -> None:
    encoder = load_frozen("random:timm:test_resnet", FrozenConfig(num_frames=2), seed=0)
    told = encoder.flops()
    model: Any = encoder.model
    counted = []

    def count(layer: Any, _: Any, output: Tensor) -> None:
        per_place = layer.weight[0].numel()
        counted.append(2 * output.numel() * per_place)

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    encoder.pooled(torch.zeros(1, 3, 2, 160, 160))
    assert told == sum(counted)


PUBLISHED = {
    "mae_base": ("vit_base_patch16_224", 64),
    "dinov2_vits14": ("vit_small_patch14_dinov2", 56),
    "dinov2_vitb14_reg4": ("vit_base_patch14_reg4_dinov2", 56),
    "dinov3_vits16": ("vit_small_patch16_dinov3", 64),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_have_a_last_norm(name: str, tmp_path: Path) -> None:
    """Under the names of their own code; the teacher goes without that norm, features do not."""
    content = published(name).content("cpu")
    weights = content.get("model", content)
    weights["norm.weight"] = torch.full_like(weights["norm.bias"], 2.0)
    torch.save(content, tmp_path / "w.pth")
    model, size = PUBLISHED[name]
    encoder: Any = load_frozen(str(tmp_path / "w.pth"), for_file(model, image_size=size), seed=0)
    assert encoder.grid == (1, 4, 4)
    assert encoder.tokens(clips_for(encoder)).shape == (2, 16, encoder.embed_dim)
    assert encoder.model.norm.weight[0] == 2.0


@pytest.mark.slow
def test_windows_and_registers_leave_a_grid() -> None:
    for model, size, grid in (
        ("vit_tiny_patch16_dinov3_qkvb", 64, (2, 4, 4)),
        ("swin_tiny_patch4_window7_224", 224, (2, 7, 7)),
    ):
        config = FrozenConfig(num_frames=2, image_size=size)
        encoder = load_frozen(f"random:timm:{model}", config, seed=0)
        assert encoder.grid == grid

        clips = clips_for(encoder, count=1)
        known = timm.get_pretrained_cfg(model)
        images = images_of(clips, known.mean, known.std)
        expected = patches_of(encoder.model, images).flatten(0, 1)
        assert_close(encoder.tokens(clips)[0], expected)
