"""Published files against the features that their own public code makes of them, frozen in tests/data/encoders."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from tests.trainer.encoders.clips import assert_close

FROZEN = Path(__file__).parents[2] / "data" / "encoders"
SHAPE = EncoderConfig(
    embed_dim=32, depth=2, num_heads=2, patch_size=8, image_size=24, num_frames=16
)
FILES = {
    "videomae": "videomae",
    "surgvista": "surgvista",
    "vjepa2": "vjepa2",
    "vjepa2_1": "vjepa2_1",
    "surgmotion": "vjepa2",
}
FINE_TUNED = {"videomae_finetuned": "videomae", "surgvista_finetuned": "surgvista"}


def frozen(name: str) -> Tensor:
    with np.load(FROZEN / "features.npz") as arrays:
        return torch.from_numpy(arrays[name])


def clips() -> Tensor:
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return ((frozen("frames").float() / 255 - mean) / std).permute(0, 4, 1, 2, 3)


def settings(layout: str, **others: object) -> FrozenConfig:
    return FrozenConfig(**{"layout": layout, "shape": SHAPE} | others)  # type: ignore[arg-type]


def test_every_frozen_file_is_compared() -> None:
    # Together with its predictor in tests/trainer/models/test_vjepa21_weights.py
    elsewhere = {"vjepa2_1_training"}
    found = {path.stem for path in FROZEN.glob("*.pth")}
    assert found == FILES.keys() | FINE_TUNED.keys() | elsewhere


@pytest.mark.parametrize("name", FILES)
def test_tokens_are_those_of_the_public_code(name: str) -> None:
    encoder = load_frozen(str(FROZEN / f"{name}.pth"), settings(FILES[name]), seed=0)
    expected = frozen(name)
    assert_close(encoder.tokens(clips()), expected)
    assert_close(encoder.pooled(clips()), expected.mean(1))
    assert_close(encoder.slices(clips())[:, 3], expected[:, 27:36].mean(1))
    assert (encoder.name, encoder.fps, encoder.stride) == (name, None, None)


@pytest.mark.parametrize("name", FINE_TUNED)
def test_a_fine_tuned_encoder_pools_before_it_norms(name: str) -> None:
    encoder = load_frozen(str(FROZEN / f"{name}.pth"), settings(FINE_TUNED[name]), seed=0)
    assert_close(encoder.pooled(clips()), frozen(name))
    tokens = encoder.tokens(clips()).double()
    assert (tokens.mean(1) - encoder.pooled(clips())).abs().max() > 1e-2, "the order matters"
    # The mean of a slice of one token would be that token; with nine of them only the norm differs.
    assert encoder.slices(clips()).shape == (2, 8, 32)


def test_the_average_of_v_jepa_is_taken_unless_it_is_not_wanted() -> None:
    path = str(FROZEN / "vjepa2.pth")
    trained = load_frozen(path, settings("vjepa2", averaged=False), seed=0)
    assert (trained.tokens(clips()) - frozen("vjepa2")).abs().max() > 0.1
    named = load_frozen(path, settings("vjepa2", prefix="encoder"), seed=0)
    assert torch.equal(trained.tokens(clips()), named.tokens(clips()))
    assert trained.identity == named.identity


@pytest.mark.parametrize(("frames", "side"), [(8, 24), (16, 32), (32, 24)])
@pytest.mark.parametrize("name", FILES)
def test_clips_of_other_lengths_and_sizes(
    name: str, frames: int, side: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(FILES[name], num_frames=frames, image_size=side)
    with caplog.at_level(logging.WARNING):
        encoder = load_frozen(str(FROZEN / f"{name}.pth"), config, seed=0)
    assert encoder.grid == (frames // 2, side // 8, side // 8)
    other = torch.zeros(1, 3, frames, side, side)
    assert encoder.tokens(other).shape == (1, encoder.grid.num_tokens, 32)

    # Only VideoMAE's positions number tokens through.
    assert ("of 8 x 3 x 3 tokens" in caplog.text) == (name == "videomae")
    with pytest.raises(ModelError, match=r"expected clips of the shape \(B, 3, "):
        encoder.tokens(torch.zeros(1, 3, frames, side + 8, side + 8))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("videomae", FrozenConfig(), "got auto; its names fit videomae or surgvista, and a file of an image"),
        (
            "vjepa2", FrozenConfig(layout="videomae", shape=SHAPE),
            r"expected the weights .*they would fit encoder.layout=vjepa2$",
        ),
        (
            "videomae", FrozenConfig(layout="transformers_vjepa2", shape=SHAPE),
            r"embeddings.patch_embeddings.proj.weight among them.*would fit encoder.layout=videomae or surgvista$",
        ),
        (
            "vjepa2", FrozenConfig(layout="vjepa2"),
            r"32 wide with 2 blocks, and weights do not tell their attention heads; set encoder.sh",
        ),
        (
            "vjepa2", FrozenConfig(layout="vjepa2", shape=EncoderConfig()),
            "encoder.shape: embed_dim: expected 32, as these weights have it, got 768",
        ),
        (
            "vjepa2", FrozenConfig(layout="vjepa2", shape=SHAPE, image_size=25),
            r"encoder: vjepa2: image_size: expected a multiple of patch_size \(8\), got 25",
        ),
        (
            "vjepa2", FrozenConfig(layout="vjepa2", shape=SHAPE, prefix="student"),
            "expected encoder.prefix to be one of 'encoder.module.backbone.'",
        ),
        (
            "vjepa2", FrozenConfig(layout="vjepa2", shape=SHAPE, model="test_vit"),
            "encoder.model: expected null where encoder.layout is not timm, got 'test_vit'",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(name: str, config: FrozenConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_frozen(str(FROZEN / f"{name}.pth"), config, seed=0)
