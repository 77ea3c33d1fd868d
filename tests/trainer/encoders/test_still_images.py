"""Encoders with a tokenizer of images (V-JEPA 2.1), asked for single frames."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from surgstream.trainer.commands.export import export
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.base import Objective
from tests.helpers.ranks import process_group
from tests.trainer.export.saved import features, save
from tests.trainer.models.test_vjepa21_weights import CONFIG as PUBLISHED
from tests.trainer.models.test_vjepa21_weights import FOLDER, started
from tests.trainer.objectives.test_vjepa21 import CONFIG

__all__ = ["started"]

IMAGES = FrozenConfig(num_frames=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Objective]:
    with process_group():
        return save(CONFIG, tmp_path_factory.mktemp("vjepa21"))


def images_for(encoder: FrozenEncoder) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 1, encoder.image_size, encoder.image_size, generator=generator)


@pytest.mark.parametrize("is_exported", [False, True])
def test_one_frame_goes_through_the_tokenizer_of_images(
    is_exported: bool, trained: tuple[Path, Objective], tmp_path: Path
) -> None:
    checkpoint, objective = trained
    place = checkpoint
    if is_exported:
        place = tmp_path / "out"
        export(checkpoint, place, "surgstream", averaged=True)

    encoder = load_frozen(str(place), IMAGES, seed=0)
    grid = CONFIG.encoder.grid
    assert (encoder.num_frames, encoder.grid) == (1, Grid(1, grid.rows, grid.columns))
    images = images_for(encoder)
    assert torch.equal(encoder.tokens(images), features(objective, images))
    assert torch.equal(encoder.layers(images, [2])[0], encoder.tokens(images))
    assert encoder.slices(images).shape == (2, 1, CONFIG.encoder.shape.embed_dim)
    assert encoder.flops() == objective.encoder.flops(grid.num_tubes, backward=False, of_image=True)

    of_clips = load_frozen(str(place), FrozenConfig(), seed=0)
    assert (of_clips.num_frames, of_clips.grid) == (CONFIG.encoder.num_frames, grid)
    assert encoder.identity != of_clips.identity
    with pytest.raises(ModelError, match=r"expected clips of the shape \(B, 3, 1, 32, 32\)"):
        encoder.tokens(images.expand(-1, -1, CONFIG.encoder.num_frames, -1, -1))


@pytest.mark.parametrize("interpolate", [False, True])
def test_images_may_be_larger_than_in_training(
    interpolate: bool, trained: tuple[Path, Objective]
) -> None:
    larger = replace(IMAGES, image_size=48, interpolate=interpolate)
    encoder = load_frozen(str(trained[0]), larger, seed=0)
    assert encoder.grid == (1, 6, 6)
    assert encoder.tokens(images_for(encoder)).shape == (2, 36, CONFIG.encoder.shape.embed_dim)


@torch.no_grad()
def test_a_published_file_has_the_features_of_its_own_tokenizer(started: Objective) -> None:
    """Equal to the encoder that is compared with its own code's outputs elsewhere."""
    shape = replace(PUBLISHED.encoder, levels=(), images=False)
    config = replace(IMAGES, layout="vjepa2_1", averaged=False, shape=shape)
    encoder = load_frozen(str(FOLDER / "vjepa2_1_training.pth"), config, seed=0)
    images = images_for(encoder)
    expected = started.encoder(images)
    torch.testing.assert_close(encoder.tokens(images), expected, rtol=1e-5, atol=1e-5)


def test_an_encoder_without_such_a_tokenizer_refuses_single_frames(
    tmp_path: Path,
) -> None:
    without = replace(
        CONFIG, encoder=replace(CONFIG.encoder, images=False), images=None, context=None
    )
    with process_group():
        checkpoint, _ = save(without, tmp_path / "run")
    with pytest.raises(ModelError, match=r"num_frames: expected a multiple of tubelet_size \(2\)"):
        load_frozen(str(checkpoint), IMAGES, seed=0)
