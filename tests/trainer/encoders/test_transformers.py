"""Folders that transformers saved, against transformers' own models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from tests.trainer.encoders.clips import assert_close, clips_for

PLAIN = FrozenConfig()
VIDEOMAE: dict[str, Any] = {
    "image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 128, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2, "decoder_intermediate_size": 64,
}  # fmt: skip
VJEPA2: dict[str, Any] = {
    "crop_size": 32, "patch_size": 8, "frames_per_clip": 4, "tubelet_size": 2, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "pred_hidden_size": 16, "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1, "pred_num_mask_tokens": 2,
}  # fmt: skip


@torch.no_grad()
def saved(folder: Path, kind: str, **numbers: Any) -> Any:
    """A model of transformers' with made-up weights, saved as it saves."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if kind == "VJEPA2Model":
            model = transformers.VJEPA2Model(transformers.VJEPA2Config(**VJEPA2 | numbers))
        else:
            config = transformers.VideoMAEConfig(**VIDEOMAE | numbers)
            model = getattr(transformers, kind)(config)
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    model.eval().save_pretrained(folder)
    return model


@torch.no_grad()
def last_hidden(model: Any, clips: Tensor, **options: Any) -> Tensor:
    hidden: Tensor = model(clips.transpose(1, 2), **options).last_hidden_state
    return hidden


@pytest.mark.parametrize("kind", ["VideoMAEModel", "VideoMAEForPreTraining"])
def test_a_videomae(kind: str, tmp_path: Path) -> None:
    model = saved(tmp_path, kind, use_mean_pooling=False)
    encoder = load_frozen(str(tmp_path), PLAIN, seed=0)
    clips = clips_for(encoder)
    whole = getattr(model, "videomae", model)
    assert_close(encoder.tokens(clips), last_hidden(whole, clips))
    assert encoder.name == tmp_path.name


def test_its_epsilon_is_that_of_its_numbers(tmp_path: Path) -> None:
    """Large enough to be seen."""
    model = saved(tmp_path, "VideoMAEModel", use_mean_pooling=False, layer_norm_eps=0.5)
    encoder = load_frozen(str(tmp_path), PLAIN, seed=0)
    assert_close(encoder.tokens(clips_for(encoder)), last_hidden(model, clips_for(encoder)))


def test_a_fine_tuned_videomae_norms_after_its_pooling(tmp_path: Path) -> None:
    model = saved(tmp_path, "VideoMAEForVideoClassification", use_mean_pooling=True, num_labels=5)
    encoder = load_frozen(str(tmp_path), PLAIN, seed=0)
    clips = clips_for(encoder)
    with torch.no_grad():
        expected = model.fc_norm(last_hidden(model.videomae, clips).mean(1))
    assert_close(encoder.pooled(clips), expected)


def test_a_v_jepa(tmp_path: Path) -> None:
    model = saved(tmp_path, "VJEPA2Model")
    encoder = load_frozen(str(tmp_path), PLAIN, seed=0)
    clips = clips_for(encoder)
    assert_close(encoder.tokens(clips), last_hidden(model, clips, skip_predictor=True))
    assert (encoder.num_frames, encoder.image_size) == (4, 32)

    longer = load_frozen(str(tmp_path), FrozenConfig(num_frames=8), seed=0)
    clips = clips_for(longer)
    assert_close(longer.tokens(clips), last_hidden(model, clips, skip_predictor=True))


@pytest.mark.parametrize("name", ["preprocessor_config.json", "video_preprocessor_config.json"])
def test_pixels_are_those_of_its_processor(name: str, tmp_path: Path) -> None:
    model = saved(tmp_path, "VJEPA2Model")
    pixels = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / name).write_text(json.dumps(pixels))
    encoder = load_frozen(str(tmp_path), PLAIN, seed=0)

    ours = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1, 1)
    theirs = torch.tensor([pixels["image_mean"], pixels["image_std"]]).view(2, 1, 3, 1, 1, 1)
    clips = clips_for(encoder)
    raw = clips * ours[1] + ours[0]
    expected = last_hidden(model, (raw - theirs[0]) / theirs[1], skip_predictor=True)
    assert_close(encoder.tokens(clips), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**6}, r"config.json: depth: expected 2, as these weights have it"),
        ({"hidden_size": 64}, "embed_dim: expected 32"),
        ({"num_attention_heads": 5}, "embed_dim: expected a multiple of num_heads"),
        ({"num_frames": -4}, "num_frames: expected one positive number, got -4"),
        ({"image_size": [32, 64]}, "image_size: expected one positive number, got .32, 64"),
        ({"image_size": 10**5}, "patch_size: expected at most"),
        ({"hidden_act": "relu"}, "hidden_act: expected gelu, got 'relu'"),
        ({"model_type": "vivit"}, "expected transformers' videomae or vjepa2, got its 'vivit'"),
    ],
)
def test_numbers_that_do_not_fit_are_told(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    saved(tmp_path, "VideoMAEModel", use_mean_pooling=False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=message):
        load_frozen(str(tmp_path), PLAIN, seed=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            FrozenConfig(layout="vjepa2"),
            "expected auto or transformers_videomae, as .* videomae, got",
        ),
        (
            FrozenConfig(shape=EncoderConfig()),
            "encoder.shape: expected null, as .*config.json tells",
        ),
    ],
)
def test_settings_that_a_folder_knows_better(
    config: FrozenConfig, message: str, tmp_path: Path
) -> None:
    saved(tmp_path, "VideoMAEModel", use_mean_pooling=False)
    with pytest.raises(ModelError, match=message):
        load_frozen(str(tmp_path), config, seed=0)


def test_a_folder_without_a_last_norm_is_told(tmp_path: Path) -> None:
    saved(tmp_path, "VideoMAEModel", use_mean_pooling=True)
    with pytest.raises(ModelError, match=r"got others: norm.weight is missing"):
        load_frozen(str(tmp_path), PLAIN, seed=0)
