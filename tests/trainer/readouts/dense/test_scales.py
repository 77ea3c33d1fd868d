"""The sizes at which steps see pictures: which they are, which one a step draws, and what encodes it."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.dense.scales import Scales, scales_of, size_at, to_size_of

SHAPE = {"embed_dim": 32, "depth": 4, "num_heads": 2}


def recipe(**changes: Any) -> ProbeRecipe:
    tree = {
        "run_dir": "run",
        "task": "polyp_masks",
        "weights": "random",
        "seed": 3,
        "readout": {"name": "dense_dpt", "image_scales": [0.75, 1, 1.25]},
        "encoder": {
            "image_size": 64,
            "num_frames": 2,
            "interpolate": True,
            "shape": {**SHAPE, "image_size": 32, "num_frames": 2, "patch_size": 8},
        },
        "data": {"corpus": "shards"},
        **changes,
    }
    return build(ProbeRecipe, tree, where="recipe.yaml")


def sized(image_size: int, rows: int) -> FrozenEncoder:
    return cast(
        "FrozenEncoder", SimpleNamespace(image_size=image_size, grid=SimpleNamespace(rows=rows))
    )


@given(st.integers(2, 40), st.integers(1, 32), st.floats(0.1, 4))
def test_sizes_are_the_nearest_multiples_of_a_patch(rows: int, patch: int, scale: float) -> None:
    size = size_at(sized(rows * patch, rows), scale)
    assert size >= patch and size % patch == 0
    assert size == patch or abs(size - scale * rows * patch) <= patch / 2 + 1e-6


def test_the_sizes_are_those_of_pranet() -> None:
    """Its code rounds to multiples of 32."""
    sizes = [size_at(sized(352, 22), scale) for scale in (0.75, 1, 1.25)]
    assert sizes == [round(352 * scale / 32) * 32 for scale in (0.75, 1, 1.25)] == [256, 352, 448]


def test_a_step_draws_by_its_number_and_the_seed_alone() -> None:
    encoders = [sized(size, 4) for size in (24, 32, 40)]

    def drawn(seed: int) -> list[int]:
        scales = Scales(encoders, seed)
        return [scales.of_step(step).image_size for step in range(900)]

    first = drawn(0)
    assert first == drawn(0) and first != drawn(1)
    again = Scales(encoders, 0)
    assert [again.of_step(step).image_size for step in reversed(range(900))] == first[::-1]

    # Each about as often, and after each other one: chi-squared with 8 degrees of freedom
    pairs, counts = np.unique(list(pairwise(first)), axis=0, return_counts=True)
    assert len(pairs) == 9 and ((counts - 899 / 9) ** 2 / (899 / 9)).sum() < 26.1


@pytest.mark.parametrize("positions", ["sinusoid", "rope"])
def test_each_size_has_the_encoder_that_is_read_at_that_size(positions: str) -> None:
    shape = {
        **SHAPE,
        "image_size": 32,
        "num_frames": 2,
        "patch_size": 8,
        "positions": positions,
    }
    settings = {"image_size": 64, "num_frames": 2, "interpolate": True, "shape": shape}
    asked = recipe(encoder=settings)
    encoder = load_frozen(asked.weights, asked.encoder, asked.seed)
    scales = scales_of(asked, encoder)
    assert [each.image_size for each in scales.encoders] == [48, 64, 80]
    assert scales.encoders[1] is encoder and scales.largest.image_size == 80

    clips = torch.randn(2, 3, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    for each in scales.encoders:
        alone = build(FrozenConfig, {**settings, "image_size": each.image_size}, where="")
        read = load_frozen(asked.weights, alone, asked.seed)
        resized = to_size_of(each, clips)
        assert torch.equal(each.tokens(resized), read.tokens(resized))
        # The weights are there once
        own = {parameter.data_ptr() for parameter in each.parameters()}
        assert own == {parameter.data_ptr() for parameter in encoder.parameters()}


def test_clips_are_resized_frame_by_frame() -> None:
    clips = torch.rand(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    assert to_size_of(sized(64, 8), clips) is clips
    small = to_size_of(sized(48, 6), clips)
    expected = torch.nn.functional.interpolate(
        clips[1, :, 2][None], size=(48, 48), mode="bilinear", antialias=True
    )
    assert small.shape == (2, 3, 4, 48, 48) and torch.allclose(small[1, :, 2], expected[0])


def test_other_readouts_have_one_size() -> None:
    encoder = sized(64, 8)
    asked = recipe(readout={"name": "linear"})
    assert scales_of(asked, encoder).encoders == (encoder,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"readout": {"name": "dense_linear", "image_scales": []}},
            "readout.image_scales: expected one",
        ),
        (
            {"readout": {"name": "dense_linear", "image_scales": [1, 1]}},
            "readout.image_scales: expected one or more that differ",
        ),
        (
            {"encoder": {"image_size": 64}},
            "encoder.interpolate: expected true with readout.image_scales",
        ),
    ],
)
def test_scales_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**changes)
