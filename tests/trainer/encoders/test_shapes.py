"""Architectures read off names and shapes, on the files that others publish."""

import pytest
import torch
from torch import Tensor

from surgstream.trainer.encoders.shapes import shape_of
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, Grid, Positions, TransformerShape
from surgstream.trainer.models.embed import sincos_positions
from surgstream.trainer.models.networks import WeightsFile
from surgstream.trainer.models.published import LAYOUTS
from tests.helpers.published import published

SMALL = TransformerShape(384, 12, 6)
BASE = TransformerShape(768, 12, 12)
LARGE = TransformerShape(1024, 24, 16)
HUGE = TransformerShape(1280, 32, 16)
GIANT = TransformerShape(1408, 40, 16, 48 / 11)
GIGANTIC = TransformerShape(1664, 48, 26, 64 / 13)

# Of each file: its layout, its shape, patches, frames and pixels.
FILES: dict[str, tuple[str, TransformerShape, int, int, int]] = {
    "videomae_small": ("videomae", SMALL, 16, 16, 224),
    "videomae_base": ("videomae", BASE, 16, 16, 224),
    "videomae_large": ("videomae", LARGE, 16, 16, 224),
    "videomae_huge": ("videomae", HUGE, 16, 16, 224),
    "videomaev2_giant": ("videomae", GIANT, 14, 16, 224),
    "videomaev2_small_distilled": ("videomae", SMALL, 16, 16, 224),
    "videomaev2_base_distilled": ("videomae", BASE, 16, 16, 224),
    "vjepa2_vitl": ("vjepa2", LARGE, 16, 64, 256),
    "vjepa2_vith": ("vjepa2", HUGE, 16, 64, 256),
    "vjepa2_vitg": ("vjepa2", GIANT._replace(num_heads=22), 16, 64, 256),
    "surgmotion_vitl": ("vjepa2", LARGE, 16, 64, 256),
    "surgmotion_vitg": ("vjepa2", GIANT._replace(num_heads=22), 16, 64, 256),
    "surgrec_jepa": ("vjepa2", LARGE, 16, 64, 256),
    "surgrec_mae": ("videomae", BASE, 16, 16, 224),
    "vjepa2_1_vitb": ("vjepa2_1", BASE, 16, 64, 384),
    "vjepa2_1_vitl": ("vjepa2_1", LARGE, 16, 64, 384),
    "vjepa2_1_vitg": ("vjepa2_1", GIANT._replace(num_heads=22), 16, 64, 384),
    "vjepa2_1_vitG": ("vjepa2_1", GIGANTIC, 16, 64, 384),
    "transformers_videomae_base": ("transformers_videomae", BASE, 16, 16, 224),
    "transformers_vjepa2_vitl": ("transformers_vjepa2", LARGE, 16, 64, 256),
}


def weights_of(
    name: str, layout: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Tensor]:
    path = tmp_path_factory.mktemp(name) / "weights.pth"
    torch.save(published(name).content(), path)
    return WeightsFile(path, "encoder").network(LAYOUTS[layout].encoder.anchor, name).weights


@pytest.mark.parametrize("name", FILES)
def test_published_files_tell_their_numbers(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layout, shape, patch_size, num_frames, image_size = FILES[name]
    numbers = found(weights_of(name, layout, tmp_path_factory), layout)
    assert numbers.shape == shape
    assert (numbers.patch_size, numbers.tubelet_size) == (patch_size, 2)
    assert (numbers.num_frames, numbers.image_size) == (num_frames, image_size)
    assert numbers.positions == LAYOUTS[layout].positions


def found(
    weights: dict[str, Tensor], layout: str, given: EncoderConfig | None = None
) -> EncoderConfig:
    place = LAYOUTS[layout]
    return shape_of(weights, place.positions, anchor=place.encoder.anchor, given=given)


@pytest.mark.parametrize(
    "grid", [Grid(8, 14, 14), Grid(8, 28, 28), Grid(32, 14, 14), Grid(4, 16, 16)]
)
def test_surgvistas_positions_tell_its_clips(
    grid: Grid, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The second and the third have as many tokens."""
    weights = weights_of("surgvista_student_base", "surgvista", tmp_path_factory)
    weights["pos_embed"] = sincos_positions(768, grid)[None].half()
    assert found(weights, "surgvista").grid == grid

    # Those that were learned are none of ours, whatever numbers are given.
    weights["pos_embed"] = weights["pos_embed"] + 1
    with pytest.raises(ModelError, match="pos_embed: expected fixed positions"):
        found(weights, "surgvista", given=EncoderConfig())
    with pytest.raises(
        ModelError, match="pos_embed: expected fixed positions of time, row and col"
    ):
        found(weights, "surgvista")


def tiny(**others: tuple[int, ...]) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (384, 3, 2, 16, 16), "patch_embed.proj.bias": (384,),
    }  # fmt: skip
    for block in range(12):
        shapes[f"blocks.{block}.mlp.fc1.weight"] = (1536, 384)
    shapes |= others
    return {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("positions", ["sincos", "sinusoid", "rope", "rope_scaled"])
def test_six_heads_of_a_small_one(positions: Positions) -> None:
    numbers = shape_of(tiny(), positions, anchor="patch_embed.proj.weight", given=None)
    assert numbers.shape == TransformerShape(384, 12, 6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"patch_embed.proj.weight": (384, 3, 16, 16)}, r"expected the axes \(D, 3, t, p, p\)"),
        ({"patch_embed.proj.weight": (384, 3, 2, 16, 8)}, r"expected the axes \(D, 3, t, p, p\)"),
        ({"patch_embed.proj.weight": (400, 3, 2, 16, 16)}, "400 wide with 12 blocks, and weights"),
        ({"patch_embed.proj.weight": (384, 3, 2, 17, 17)}, "image_size: expected a multiple of"),
        ({"blocks.0.mlp.fc1.weight": (1000, 384)}, "MLPs 4, 48/11 or 64/13 times as wide .*, got 1000"),
        ({"blocks.12.mlp.fc1.weight": (1536, 384)}, "384 wide with 13 blocks"),
    ],
)  # fmt: skip
def test_other_shapes_are_told(changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        shape_of(tiny(**changed), "sinusoid", anchor="patch_embed.proj.weight", given=None)
