"""Random weights and raw pixels, and what all frozen encoders have in common."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.identity import identity_of
from surgstream.trainer.encoders.running import Runner
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, Positions
from tests.trainer.encoders.clips import assert_close, clips_for
from tests.trainer.encoders.test_public_code import FROZEN, SHAPE
from tests.trainer.encoders.test_public_code import settings as published
from tests.trainer.export.saved import Saved

TINY = EncoderConfig(embed_dim=32, depth=2, num_heads=2, patch_size=8, image_size=32, num_frames=4)
CPU = torch.device("cpu")


@pytest.mark.parametrize("weights", ["random", "random:timm:test_vit"])
def test_random_weights_are_those_of_their_seed(weights: str) -> None:
    config = FrozenConfig(shape=TINY if weights == "random" else None)
    before = torch.get_rng_state()
    one, again, other = (load_frozen(weights, config, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)

    assert one.identity == again.identity != other.identity
    clips = clips_for(one)
    assert torch.equal(one.tokens(clips), again.tokens(clips))
    assert not torch.equal(one.tokens(clips), other.tokens(clips))


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_random_weights_of_the_architecture_that_is_judged(name: str) -> None:
    place = str(FROZEN / f"{name}.pth")
    judged = load_frozen(place, published(name), seed=0)
    random = load_frozen(f"random:{place}", published(name), seed=0)
    assert random.name == f"random {name}"
    assert (random.grid, random.embed_dim, random.flops()) == (
        judged.grid,
        judged.embed_dim,
        judged.flops(),
    )
    shapes = {key: tensor.shape for key, tensor in judged.state_dict().items()}
    assert {key: tensor.shape for key, tensor in random.state_dict().items()} == shapes
    assert not torch.equal(random.tokens(clips_for(random)), judged.tokens(clips_for(judged)))

    # Neither what was trained nor what was read is left in it.
    alone = load_frozen("random", FrozenConfig(shape=EncoderConfig(
        embed_dim=32, depth=2, num_heads=2, patch_size=8, image_size=24, num_frames=16,
        positions="rope" if name == "vjepa2" else "sinusoid",
    )), seed=0)  # fmt: skip
    assert alone.identity == random.identity


def test_random_weights_of_a_run(saved: Saved) -> None:
    checkpoint, _ = saved["unisurg"]
    random = load_frozen(f"random:{checkpoint}", FrozenConfig(), seed=0)
    judged = load_frozen(str(checkpoint), FrozenConfig(), seed=0)
    assert (random.stride, random.grid) == (judged.stride, judged.grid)
    assert random.identity != judged.identity


def test_pixels_are_means_of_colours() -> None:
    encoder = load_frozen("pixels", FrozenConfig(num_frames=4, image_size=64), seed=0)
    assert (encoder.grid, encoder.embed_dim, encoder.pooled_dim) == ((2, 8, 8), 48, 192)
    clips = clips_for(encoder)
    slices = encoder.slices(clips)
    tokens = encoder.tokens(clips)

    for s, row, column in np.ndindex(2, 8, 8):
        square = clips[1, :, 2 * s : 2 * s + 2, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        place = row * 8 + column
        assert_close(slices[1, s, 3 * place : 3 * place + 3], square.mean((1, 2, 3)))

        token = tokens[1, s * 64 + place].unflatten(0, (4, 4, 3))
        assert_close(token[1, 2], square[:, :, 2:4, 4:6].mean((1, 2, 3)))
    assert_close(encoder.pooled(clips), slices.mean(1))
    assert encoder.flops() == 0


@pytest.mark.parametrize(("frames", "slices"), [(1, 1), (3, 3), (16, 8)])
def test_pixels_of_any_clip(frames: int, slices: int) -> None:
    encoder = load_frozen("pixels", FrozenConfig(num_frames=frames, image_size=50), seed=0)
    assert encoder.grid.slices == slices
    assert encoder.tokens(clips_for(encoder)).shape == (2, 64 * slices, 48)


ENCODERS: dict[str, tuple[str, FrozenConfig]] = {
    "pixels": ("pixels", FrozenConfig(num_frames=4, image_size=64)),
    "random": ("random", FrozenConfig(shape=TINY)),
    "videomae": (str(FROZEN / "videomae.pth"), published("videomae")),
    "fine_tuned": (str(FROZEN / "surgvista_finetuned.pth"), published("surgvista")),
    "vjepa2": (str(FROZEN / "vjepa2.pth"), published("vjepa2")),
    "image": ("random:timm:test_vit", FrozenConfig(num_frames=2)),
    "convolutions": ("random:timm:test_convnext", FrozenConfig(num_frames=2, image_size=64)),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_features_have_the_shapes_that_are_told(name: str) -> None:
    encoder = load_frozen(*ENCODERS[name], seed=0)
    runner = Runner(encoder, FrozenConfig(), CPU)
    clips = clips_for(encoder, count=3)
    assert runner.tokens(clips).shape == (3, encoder.grid.num_tokens, encoder.embed_dim)
    assert runner.slices(clips).shape == (3, encoder.grid.slices, encoder.pooled_dim)
    assert runner.pooled(clips).shape == (3, encoder.pooled_dim)
    assert runner.precision == "fp32"

    # A clip's features are its own, and nobody asks for gradients.
    assert_close(runner.pooled(clips)[1:2], runner.pooled(clips[1:2]))
    assert not runner.tokens(clips.requires_grad_()).requires_grad
    with pytest.raises(ModelError, match="expected clips of the shape"):
        runner.slices(clips[:, :, :, 1:])


@pytest.mark.parametrize("name", ENCODERS)
def test_half_precision_is_asked_for(name: str) -> None:
    encoder = load_frozen(*ENCODERS[name], seed=0)
    runner = Runner(encoder, FrozenConfig(autocast="bf16"), CPU)
    assert runner.precision == "bf16"
    clips = clips_for(encoder)
    pooled = runner.pooled(clips)
    whole = encoder.pooled(clips)
    assert pooled.dtype == runner.tokens(clips).dtype == torch.float32
    torch.testing.assert_close(pooled, whole, rtol=0, atol=0.1)
    assert torch.equal(pooled, whole) == (name == "pixels"), "only products of matrices are cut"


@pytest.mark.parametrize("name", ENCODERS)
def test_operations_are_those_that_torch_counts(name: str) -> None:
    encoder = load_frozen(*ENCODERS[name], seed=0)
    # Shapes alone, since attention's kernel for CPUs goes uncounted.
    shapes = copy.deepcopy(encoder).to("meta")
    clips = torch.empty(
        1, 3, encoder.num_frames, encoder.image_size, encoder.image_size, device="meta"
    )
    with FlopCounterMode(display=False) as counted:
        shapes.pooled(clips)
    assert encoder.flops() == counted.get_total_flops()


@pytest.mark.parametrize(
    ("positions", "size"),
    [
        ("sincos", "small"),
        ("sinusoid", "small"),
        pytest.param("rope", "giant", marks=pytest.mark.slow),
    ],
)
def test_operations_of_transformers(positions: Positions, size: Any) -> None:
    shape = EncoderConfig(size=size, depth=1, image_size=32, num_frames=4, positions=positions)
    encoder = load_frozen("random", FrozenConfig(shape=shape), seed=0)
    shapes = copy.deepcopy(encoder).to("meta")
    with FlopCounterMode(display=False) as counted:
        shapes.tokens(torch.empty(1, 3, 4, 32, 32, device="meta"))
    assert encoder.flops() == counted.get_total_flops()


def test_all_of_them_differ() -> None:
    identities = [load_frozen(*ENCODERS[name], seed=0).identity for name in ENCODERS]
    assert len(set(identities)) == len(ENCODERS)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_an_identity_covers_every_number_and_weight(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.int64]))
    weights = {f"w{i}": torch.arange(size).to(dtype) for i, size in enumerate(sizes)}
    numbers = {"kind": "made up", "clip": [1, 2]}
    identity = identity_of(numbers, weights)

    backwards = dict(reversed(weights.items()))
    assert identity_of(dict(reversed(numbers.items())), backwards) == identity
    assert identity_of(numbers | {"clip": [2, 1]}, weights) != identity

    name = data.draw(st.sampled_from(sorted(weights)))
    tensor = weights[name]
    assert identity_of(numbers, weights | {name: tensor[None]}) != identity
    assert identity_of(numbers, weights | {name: tensor.to(torch.float64)}) != identity
    assert identity_of(numbers, {key: weights[key] for key in weights if key != name}) != identity
    assert identity_of(numbers, weights | {"x": tensor}) != identity
    if len(tensor):
        assert identity_of(numbers, weights | {name: tensor + 1}) != identity


def test_the_place_of_a_file_does_not_count(tmp_path: Path) -> None:
    copied = tmp_path / "another.pth"
    copied.write_bytes((FROZEN / "vjepa2.pth").read_bytes())
    config = FrozenConfig(layout="vjepa2", shape=SHAPE)
    one = load_frozen(str(FROZEN / "vjepa2.pth"), config, seed=0)
    other = load_frozen(str(copied), config, seed=1)
    assert (one.identity, one.name, other.name) == (other.identity, "vjepa2", "another")


@pytest.mark.parametrize(
    ("weights", "config", "message"),
    [
        ("pixel", FrozenConfig(), r"got pixel, which does not exist; did you mean 'pixels'\?"),
        ("random:pixels", FrozenConfig(), "weights that have an architecture, got random:pixels"),
        ("random:random", FrozenConfig(), "got random:random; write random"),
        ("randm", FrozenConfig(), r"got randm, which does not exist; did you mean 'random'\?"),
        ("pixels", FrozenConfig(shape=TINY), "encoder.shape: expected None with weights pixels"),
        ("random", FrozenConfig(layout="vjepa2"), "encoder.layout: expected auto with weights random"),
        ("random", FrozenConfig(shape=TINY, num_frames=3), "num_frames: expected a multiple of tubelet"),
        (".", FrozenConfig(), "or a folder with model.safetensors, got the folder ."),
        ("text.pth", FrozenConfig(layout="vjepa2"), "weights: expected a file that holds named tensors"),
        ("empty.pth", FrozenConfig(layout="vjepa2"), "weights: expected named tensors in empty.pth, got none"),
    ],
)  # fmt: skip
def test_what_is_no_encoder_is_told(
    weights: str,
    config: FrozenConfig,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ModelError, match=message):
        load_frozen(weights, config, seed=0)
