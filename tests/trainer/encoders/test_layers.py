"""Tokens of several blocks, and positions between those of the training."""

import pytest
import torch
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.positions import interpolated, interpolated_rope
from surgstream.trainer.models.config import EncoderConfig, Grid, Positions
from surgstream.trainer.models.embed import sincos_positions
from surgstream.trainer.models.rope import rope_tables, scaled_rope_tables

KINDS: tuple[Positions, ...] = ("sincos", "sinusoid", "rope", "rope_scaled")


def encoder(positions: Positions, *, size: int = 32, interpolate: bool = True) -> FrozenEncoder:
    shape = EncoderConfig(
        embed_dim=48, depth=4, num_heads=2, image_size=32, num_frames=4, patch_size=8,
        positions=positions, drop_path=0.0,
    )  # fmt: skip
    config = FrozenConfig(shape=shape, image_size=size, interpolate=interpolate)
    return load_frozen("random", config, seed=0)


def clips(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, 4, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("positions", KINDS)
def test_the_last_block_s_tokens_are_the_encoder_s(positions: Positions) -> None:
    found = encoder(positions)
    first, last = found.layers(clips(), (0, 3))
    assert found.num_layers == 4
    assert torch.equal(last, found.tokens(clips()))
    assert first.shape == last.shape
    assert not torch.allclose(first, last, atol=0.1)


@pytest.mark.parametrize("positions", KINDS)
def test_the_size_of_the_training_needs_no_other_positions(positions: Positions) -> None:
    plain, other = encoder(positions, interpolate=False), encoder(positions)
    assert torch.equal(plain.tokens(clips()), other.tokens(clips()))
    assert plain.identity == other.identity


# Scaled ones are those of any size already, see below.
@pytest.mark.parametrize("positions", [kind for kind in KINDS if kind != "rope_scaled"])
def test_interpolated_positions_make_another_encoder(positions: Positions) -> None:
    plain, other = encoder(positions, size=64, interpolate=False), encoder(positions, size=64)
    assert other.grid == Grid(2, 8, 8)
    assert plain.identity != other.identity
    assert not torch.equal(plain.tokens(clips(64)), other.tokens(clips(64)))


def test_scaled_positions_are_those_of_256_pixels_at_any_size() -> None:
    plain = encoder("rope_scaled", size=64, interpolate=False)
    assert torch.equal(plain.tokens(clips(64)), encoder("rope_scaled", size=64).tokens(clips(64)))

    # 16 pixels a token: the last row of any grid stands where that of 16 rows does.
    for rows in (2, 14, 16, 24):
        grid = Grid(3, rows, rows)
        angles = angle_of(scaled_rope_tables(24, grid, 16)).view(*grid, 24)
        for axis, last in enumerate((2, 15, 15)):
            found = angles[-1, -1, -1, 8 * axis : 8 * axis + 8]
            frequencies = 10000.0 ** (-torch.arange(4) / 4)
            expected = (last * frequencies).repeat_interleave(2)
            torch.testing.assert_close(found, torch.atan2(expected.sin(), expected.cos()))

    # A single row is the first one.
    assert not angle_of(scaled_rope_tables(24, Grid(1, 1, 1), 16)).any()


def angle_of(tables: Tensor) -> Tensor:
    """The angles, -pi to pi, of cosines and sines."""
    return torch.atan2(tables[1], tables[0])


def test_positions_lie_between_those_of_the_training() -> None:
    trained, wanted = Grid(2, 4, 4), Grid(2, 8, 8)
    positions = torch.arange(4.0)[None, :, None].expand(2, 4, 4).reshape(-1, 1)
    found = interpolated(positions, trained, wanted).view(*wanted)
    assert found[0, :, 3].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert torch.equal(found[0], found[1])

    same = sincos_positions(48, trained)
    assert torch.equal(interpolated(same, trained, trained), same)


def test_rotary_positions_go_as_far_as_those_of_the_training() -> None:
    trained = Grid(2, 4, 4)
    assert torch.allclose(interpolated_rope(24, trained, trained), rope_tables(24, trained))

    wanted = Grid(2, 12, 12)
    found = interpolated_rope(24, trained, wanted).view(2, *wanted, 24)
    expected = rope_tables(24, trained).view(2, *trained, 24)
    # Of three tokens in the place of one the middle one stands where that stood
    assert torch.allclose(found[:, :, 1::3, 1::3], expected, atol=1e-6)


def test_an_image_model_has_the_layers_of_its_blocks() -> None:
    found = load_frozen("random:timm:test_vit", FrozenConfig(num_frames=2), seed=0)
    size = found.image_size
    images = torch.randn(1, 3, 2, size, size, generator=torch.Generator().manual_seed(0))
    first, last = found.layers(images, (0, found.num_layers - 1))
    assert torch.allclose(last, found.tokens(images), atol=1e-5)
    assert not torch.allclose(first, last, atol=0.1)
