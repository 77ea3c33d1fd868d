"""Parameters and operations of every published size, as integers, beside the matrices that they are counted from.

Shapes are those of the public classes: MCG-NJU/VideoMAE 14ef8d8, OpenGVLab/VideoMAEv2 29eab1e, facebookresearch/vjepa2
c2963a4, and for V-JEPA 2.1 a copy of its code; docs/recipes_next.md has the parameters of V-JEPA's and their sources.
VideoMAE's S, B, L and H and V-JEPA 2's L, H and g were counted with these classes as well.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import VJepaConfig
from tests.helpers.published import published

# Rows, inner axis and columns of a product of two matrices
Product = tuple[int, int, int]

MAE = EncoderConfig(positions="sinusoid")
JEPA = EncoderConfig(positions="rope", num_frames=64, image_size=256)
GIANT = replace(JEPA, size="giant", num_heads=22)
JEPA_2_1 = EncoderConfig(positions="rope_scaled", num_frames=64, image_size=384)


class Published(NamedTuple):
    """An encoder with the clips of its published weights.

    Attributes:
        config: Its numbers, as a recipe says them.
        shape: Width D, blocks, MLP width F and pixels along a patch, as its own code says them.
        num_tokens: Tokens of a clip, N.
        parameters: Its parameters, those of levels and fixed positions left out.
        flops: Floating point operations of a forward pass of one clip.
    """

    config: EncoderConfig
    shape: tuple[int, int, int, int]
    num_tokens: int
    parameters: int
    flops: int


# SurgRec-MAE and SurgVISTA have VideoMAE's B, SurgMotion and SurgRec-JEPA V-JEPA 2's L, SurgMotion its g.
ENCODERS = {
    "VideoMAE S": Published(
        replace(MAE, size="small"), (384, 12, 1536, 16), 1568, 21_879_936, 113_755_815_936,
    ),
    "VideoMAE B": Published(
        MAE, (768, 12, 3072, 16), 1568, 86_227_200, 360_689_172_480,
    ),
    "VideoMAE L": Published(
        replace(MAE, size="large"), (1024, 24, 4096, 16), 1568, 303_860_736, 1_193_665_363_968,
    ),
    "VideoMAE H": Published(
        replace(MAE, size="huge"), (1280, 32, 5120, 16), 1568, 631_607_040, 2_381_987_184_640,
    ),
    "VideoMAE V2 g": Published(
        replace(MAE, size="giant", patch_size=14), (1408, 40, 6144, 14), 2048, 1_011_610_752, 5_085_581_017_088,
    ),
    "V-JEPA 2 L": Published(
        replace(JEPA, size="large"), (1024, 24, 4096, 16), 8192, 303_885_312, 11_570_641_895_424,
    ),
    "V-JEPA 2 H": Published(
        replace(JEPA, size="huge"), (1280, 32, 5120, 16), 8192, 631_648_000, 21_335_250_042_880,
    ),
    "V-JEPA 2 g": Published(
        GIANT, (1408, 40, 6144, 16), 8192, 1_012_173_952, 31_689_342_451_712,
    ),
    "V-JEPA 2 g, 384 px": Published(
        replace(GIANT, image_size=384), (1408, 40, 6144, 16), 18_432, 1_012_173_952, 113_821_196_746_752,
    ),
    "V-JEPA 2.1 B": Published(
        JEPA_2_1, (768, 12, 3072, 16), 18_432, 86_236_416, 15_698_642_337_792,
    ),
    "V-JEPA 2.1 L": Published(
        replace(JEPA_2_1, size="large"), (1024, 24, 4096, 16), 18_432, 303_885_312, 44_588_202_983_424,
    ),
    "V-JEPA 2.1 g": Published(
        replace(JEPA_2_1, size="giant", num_heads=22), (1408, 40, 6144, 16), 18_432, 1_012_173_952, 113_821_196_746_752,
    ),
    "V-JEPA 2.1 G": Published(
        replace(JEPA_2_1, size="gigantic"), (1664, 48, 8192, 16), 18_432, 1_843_923_840, 176_475_642_789_888,
    ),
}  # fmt: skip

# Width D of its encoder, heads, mask tokens and parameters. Those of SALT are 21.88 and 22.08 M in its paper's table 4,
# whose other students predict features of another width than their own.
PREDICTORS = {
    "V-JEPA 2 L": (1024, 12, 10, 22_086_016),
    "V-JEPA 2 H": (1280, 12, 10, 22_282_880),
    "V-JEPA 2 g": (1408, 12, 10, 22_381_312),
    "SALT B": (768, 16, 2, 21_886_080),
    "SALT L": (1024, 16, 2, 22_082_944),
}


def on_meta(config: EncoderConfig) -> Encoder:
    with torch.device("meta"):
        return Encoder(config)


def block_parameters(width: int, mlp: int, key_biases: bool) -> int:
    """Matrices of queries, keys, values and the projection, two of the MLP, biases, and two norms."""
    attention = 4 * width**2 + (4 if key_biases else 3) * width
    widening = 2 * width * mlp + mlp + width
    return attention + widening + 4 * width


def block_products(num_tokens: int, width: int, mlp: int) -> list[Product]:
    """The products of one block; all heads together, scores and weighted sums are as wide as the block."""
    return [
        (num_tokens, width, 3 * width),
        (num_tokens, width, num_tokens),
        (num_tokens, num_tokens, width),
        (num_tokens, width, width),
        (num_tokens, width, mlp),
        (num_tokens, mlp, width),
    ]


def operations(products: list[Product]) -> int:
    """A multiplication and an addition for each number that is summed up."""
    return sum(2 * rows * inner * columns for rows, inner, columns in products)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_published_encoder_has_the_parameters_of_its_layers(name: str) -> None:
    config, (width, depth, mlp, patch), _, parameters, _ = ENCODERS[name]
    of_blocks = depth * block_parameters(width, mlp, key_biases="JEPA" in name)
    of_tubelets = (3 * 2 * patch**2 + 1) * width
    assert of_tubelets + of_blocks + 2 * width == parameters
    assert sum(each.numel() for each in on_meta(config).parameters()) == parameters


@pytest.mark.parametrize("name", ENCODERS)
def test_a_published_encoder_has_the_operations_of_its_products(name: str) -> None:
    config, (width, depth, mlp, patch), num_tokens, _, flops = ENCODERS[name]
    products = [(num_tokens, 3 * 2 * patch**2, width)]
    for _ in range(depth):
        products += block_products(num_tokens, width, mlp)

    assert operations(products) == flops
    assert config.grid.num_tokens == num_tokens
    assert on_meta(config).flops(num_tokens, backward=False) == flops


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [("VideoMAE S", 22, 57), ("VideoMAE B", 87, 180), ("VideoMAE L", 305, 597)],
)
def test_operations_are_those_that_are_published_of_videomae(
    name: str, parameters: int, multiply_adds: int
) -> None:
    """In millions and billions, as mmaction2 has them of 16 frames; positions are counted, a head is not."""
    _, (width, *_), num_tokens, ours, flops = ENCODERS[name]
    assert round((ours + num_tokens * width) / 1e6) == parameters
    assert round(flops / 2e9) == multiply_adds


def test_operations_are_those_that_are_published_of_videomae_v2() -> None:
    """160.30 T multiply-adds of six views of 64 frames of 266 pixels, as its paper has them of ViT-g."""
    giant = replace(MAE, size="giant", patch_size=14, num_frames=64, image_size=266)
    multiply_adds = 6 * on_meta(giant).flops(32 * 19 * 19, backward=False) / 2
    assert multiply_adds / 1e12 == pytest.approx(160.30, abs=0.05)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_published_predictor_has_the_parameters_of_its_layers(name: str) -> None:
    width, _, num_mask_tokens, parameters = PREDICTORS[name]
    into = 384 * (width + 1)
    out = width * (384 + 1)
    of_blocks = 12 * block_parameters(384, 1536, key_biases=True)
    assert into + 384 * num_mask_tokens + of_blocks + 2 * 384 + out == parameters
    assert sum(each.numel() for each in predictor(name).parameters()) == parameters


# Visible and masked tokens of both kinds of masks in the mean, of 16 frames at 256 pixels: docs/recipes_next.md.
@pytest.mark.parametrize(
    ("name", "visible", "masked", "flops"),
    [
        ("V-JEPA 2 L", 472, 978, 304_413_696_000),
        ("V-JEPA 2 L", 124, 1429, 334_882_658_304),
        ("V-JEPA 2 H", 472, 978, 305_268_940_800),
        ("V-JEPA 2 g", 472, 978, 305_696_563_200),
    ],
)
def test_a_published_predictor_has_the_operations_of_its_products(
    name: str, visible: int, masked: int, flops: int
) -> None:
    width, *_ = PREDICTORS[name]
    products = [(visible, width, 384), (masked, 384, width)]
    for _ in range(12):
        products += block_products(visible + masked, 384, 1536)

    # A backward pass has two products for each, of the gradients of both its matrices.
    assert 3 * operations(products) == flops
    assert predictor(name).flops(visible, masked) == flops


def predictor(name: str) -> Predictor:
    width, num_heads, num_mask_tokens, _ = PREDICTORS[name]
    config = PredictorConfig(num_heads=num_heads, num_mask_tokens=num_mask_tokens)
    with torch.device("meta"):
        return Predictor(config, replace(JEPA, embed_dim=width, num_heads=16))


@pytest.mark.parametrize(
    ("steps", "flops"), [(240_000, 1.900e21), (160_000, 1.260e21), (120_000, 0.951e21)]
)
def test_a_step_of_v_jepa_2_costs_what_salt_says(steps: int, flops: float) -> None:
    """Of ViT-L, 3,072 clips of 16 frames at 224 pixels a step: its appendix, which does not say how it counts."""
    objective = choice.build_on_meta(VJepaConfig())
    of_a_clip = sum(objective.flops().values())
    assert of_a_clip * 3072 * steps == pytest.approx(flops, rel=0.03)


@pytest.mark.parametrize(
    ("file", "size", "parameters"),
    [
        ("vjepa2_1_vitb", "B", 86_833_152),
        ("vjepa2_1_vitl", "L", 304_680_960),
        ("vjepa2_1_vitg", "g", 1_013_267_968),
        ("vjepa2_1_vitG", "G", 1_845_216_768),
    ],
)
def test_v_jepa_2_1_has_what_is_for_images_and_levels_as_well(
    file: str, size: str, parameters: int
) -> None:
    """777 D more than we read: tubelets of images, norms of three levels, embeddings of two modalities."""
    shapes = [shape for key, shape in published(file).tensors.items() if key.startswith("encoder.")]
    assert sum(math.prod(shape) for shape in shapes) == parameters

    read = ENCODERS[f"V-JEPA 2.1 {size}"]
    width, *_ = read.shape
    assert parameters - read.parameters == 777 * width
