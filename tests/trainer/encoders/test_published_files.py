"""Every published file of an encoder through the door of `probe` and `features`, by its names and shapes alone."""

from pathlib import Path

import pytest
import torch

from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.published import fitting_layouts, open_file, read_file
from surgstream.trainer.models.config import EncoderConfig, Grid
from surgstream.trainer.models.embed import sincos_positions
from tests.helpers.published import published

# Of each file, its layout and the parameters of its encoder. Where they are from: `models/test_published_numbers.py`.
FILES = {
    "videomae_small": ("videomae", 21_879_936),
    "videomae_base": ("videomae", 86_227_200),
    "videomae_large": ("videomae", 303_860_736),
    "videomae_huge": ("videomae", 631_607_040),
    "videomaev2_small_distilled": ("videomae", 21_879_936),
    "videomaev2_base_distilled": ("videomae", 86_227_200),
    "videomaev2_giant": ("videomae", 1_011_610_752),
    "surgrec_mae": ("videomae", 86_227_200),
    "surgvista_student_base": ("surgvista", 86_227_200),
    "vjepa2_vitl": ("vjepa2", 303_885_312),
    "vjepa2_vith": ("vjepa2", 631_648_000),
    "vjepa2_vitg": ("vjepa2", 1_012_173_952),
    "surgmotion_vitl": ("vjepa2", 303_885_312),
    "surgmotion_vitg": ("vjepa2", 1_012_173_952),
    "surgrec_jepa": ("vjepa2", 303_885_312),
    "vjepa2_1_vitb": ("vjepa2_1", 86_236_416),
    "vjepa2_1_vitl": ("vjepa2_1", 303_885_312),
    "vjepa2_1_vitg": ("vjepa2_1", 1_012_173_952),
    "vjepa2_1_vitG": ("vjepa2_1", 1_843_923_840),
}
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 22, 1664: 26}


@pytest.mark.parametrize("averaged", [True, False], ids=["averaged", "trained"])
@pytest.mark.parametrize("name", FILES)
def test_a_published_file_is_an_encoder_with_its_parameters(
    name: str, averaged: bool, tmp_path: Path
) -> None:
    layout, parameters = FILES[name]
    path = written(name, tmp_path)
    source = read_file(path, FrozenConfig(layout=layout, averaged=averaged))  # type: ignore[arg-type]

    assert sum(tensor.numel() for tensor in source.weights.values()) == parameters
    width, _, num_heads, _ = source.numbers.shape
    # VideoMAE V2's giant has fewer heads than V-JEPA 2's.
    assert num_heads == (16 if name == "videomaev2_giant" else HEADS[width])
    assert source.pools_first == name.endswith("distilled")


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_without_a_layout_is_told_its_own(name: str, tmp_path: Path) -> None:
    layout, _ = FILES[name]
    config = FrozenConfig()
    assert layout in fitting_layouts(open_file(written(name, tmp_path), config), config)


def test_the_giant_of_v_jepa_2_may_be_that_of_384_pixels(tmp_path: Path) -> None:
    """Both files have the same names and shapes, as positions leave none."""
    shape = EncoderConfig(size="giant", num_heads=22, num_frames=64, image_size=384)
    path = written("vjepa2_vitg", tmp_path)
    source = read_file(path, FrozenConfig(layout="vjepa2", shape=shape))
    assert source.numbers.grid == (32, 24, 24)
    assert (source.numbers.positions, source.numbers.shape.mlp_dim) == ("rope", 6144)


def written(name: str, folder: Path) -> Path:
    """The file without values, but for SurgVISTA's positions, which tell its clips."""
    content = published(name).content()
    if name == "surgvista_student_base":
        content["model"]["pos_embed"] = sincos_positions(768, Grid(8, 14, 14))[None]
    path = folder / f"{name}.pth"
    torch.save(content, path)
    return path
