"""Files that others publish, by the names and shapes that their code gives them: every tensor has its place here.

The files themselves are too large for a test, and some have a form to fill in before them. Names and shapes were read
off the public classes, at the commits that are named beside them.
"""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from surgstream.trainer.errors import ModelError
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.config import (
    DecoderConfig,
    EncoderConfig,
    Grid,
    PredictorConfig,
    TeacherConfig,
)
from surgstream.trainer.models.images.teacher import Teacher, load_teacher
from surgstream.trainer.models.networks import AVERAGES
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import (
    ObjectiveConfig,
    SurgVistaConfig,
    VideoMaeConfig,
    VJepaConfig,
)
from surgstream.trainer.warm_start import warm_start
from tests.helpers.published import FOLDER, Published, published

MAE = VideoMaeConfig()
WIDER = DecoderConfig(
    depth=4, embed_dim=512, num_heads=8, positions="sinusoid", projection_bias=False, drop_path=0.0
)
NARROWER = replace(WIDER, embed_dim=192, num_heads=3)
JEPA = VJepaConfig(predictor=PredictorConfig(num_mask_tokens=10))
HUGE = replace(JEPA.encoder, size="huge")
GIANT = replace(JEPA.encoder, size="giant", num_heads=22)


def jepa_2_1(size: Literal["base", "large", "giant", "gigantic"]) -> ObjectiveConfig:
    """An objective with an encoder of V-JEPA 2.1; its predictor is another."""
    heads = 22 if size == "giant" else None
    encoder = replace(JEPA.encoder, size=size, num_heads=heads, positions="rope_scaled")
    return replace(JEPA, encoder=encoder)


# Of each file, the layout that reads it, an objective that has its shapes, and how much of the file is read.
VIDEOS: dict[str, tuple[str, ObjectiveConfig, str]] = {
    "videomae_small": (
        "videomae", replace(MAE, encoder=replace(MAE.encoder, size="small"), decoder=NARROWER), "all",
    ),
    "videomae_base": ("videomae", MAE, "all"),
    "videomae_large": (
        "videomae", replace(MAE, encoder=replace(MAE.encoder, size="large"), decoder=replace(WIDER, depth=12)), "all",
    ),
    "videomae_huge": (
        "videomae",
        replace(MAE, encoder=replace(MAE.encoder, size="huge"), decoder=replace(WIDER, embed_dim=640, depth=12)),
        "all",
    ),
    "videomaev2_giant": (
        "videomae", replace(MAE, encoder=replace(MAE.encoder, size="giant", patch_size=14)), "encoder",
    ),
    "videomaev2_small_distilled": ("videomae", replace(MAE, encoder=replace(MAE.encoder, size="small")), "encoder"),
    "videomaev2_base_distilled": ("videomae", MAE, "encoder"),
    "surgvista_student_base": ("surgvista", SurgVistaConfig(), "all"),
    "vjepa2_vitl": ("vjepa2", JEPA, "all"),
    "vjepa2_vith": ("vjepa2", replace(JEPA, encoder=HUGE), "all"),
    "vjepa2_vitg": ("vjepa2", replace(JEPA, encoder=GIANT), "all"),
    "surgmotion_vitl": ("vjepa2", JEPA, "encoder"),
    "surgmotion_vitg": ("vjepa2", replace(JEPA, encoder=GIANT), "encoder"),
    "surgrec_jepa": ("vjepa2", JEPA, "encoder"),
    "surgrec_mae": ("videomae", replace(MAE, decoder=replace(MAE.decoder, depth=4)), "all"),
    "vjepa2_1_vitb": ("vjepa2_1", jepa_2_1("base"), "encoder"),
    "vjepa2_1_vitl": ("vjepa2_1", jepa_2_1("large"), "encoder"),
    "vjepa2_1_vitg": ("vjepa2_1", jepa_2_1("giant"), "encoder"),
    "vjepa2_1_vitG": ("vjepa2_1", jepa_2_1("gigantic"), "encoder"),
    "transformers_videomae_base": (
        "transformers_videomae", replace(MAE, decoder=replace(MAE.decoder, depth=4)), "all",
    ),
    "transformers_vjepa2_vitl": ("transformers_vjepa2", JEPA, "all"),
}  # fmt: skip

# Of each file, what must be said of the teacher.
IMAGES: dict[str, dict[str, Any]] = {
    "surgvista_teacher": {"model": "vit_large_patch16_224", "norm_eps": 1e-5},
    "mae_base": {"model": "vit_base_patch16_224"},
    "dinov2_vits14": {"model": "vit_small_patch14_dinov2"},
    "dinov2_vitb14_reg4": {"model": "vit_base_patch14_reg4_dinov2"},
    "dinov2_training": {"model": "vit_large_patch16_224"},
    "dinov3_vits16": {"model": "vit_small_patch16_dinov3"},
    "dinov3_vitl16": {"model": "vit_large_patch16_dinov3"},
}
GRID = Grid(8, 14, 14)


def start(
    file: Published, path: Path, layout: str, config: ObjectiveConfig, parts: Any
) -> Objective:
    """An objective without values that began with a file."""
    torch.save(file.content(), path)
    objective = choice.build_on_meta(config)
    settings = WarmStartConfig(weights=str(path), layout=layout, parts=parts)  # type: ignore[arg-type]
    warm_start(settings, objective, config.encoder)
    return objective


def test_every_frozen_file_is_read_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == VIDEOS.keys() | IMAGES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", VIDEOS)
def test_a_run_begins_with_a_published_file(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout, config, parts = VIDEOS[name]
    file = published(name)
    with caplog.at_level(logging.INFO):
        objective = start(file, tmp_path / "weights.pth", layout, config, parts)

    wanted = [
        key
        for key, _ in objective.named_parameters()
        if parts == "all" or key.startswith("encoder.")
    ]
    assert f"begins with {len(wanted)} weights" in caplog.text
    assert (
        sum(p.numel() for _, p in objective.named_parameters()) == num_weights(file)
        or parts == "encoder"
    )


def num_weights(file: Published) -> int:
    """Numbers in a file, but for averages and fixed positions."""
    counted = {
        name: shape
        for name, shape in file.tensors.items()
        if name.split(".")[0] not in AVERAGES and not re.search(r"pos_embed\w*$", name)
    }
    return sum(torch.Size(shape).numel() for shape in counted.values())


def test_surgmotions_file_is_the_encoder_of_v_jepa_2(tmp_path: Path) -> None:
    """Its loader reads the key `encoder` and leaves `module.` and `backbone.` out of names (commit 9f1de59)."""
    file = published("surgmotion_vitl")
    in_v_jepa_2 = published("vjepa2_vitl").tensors
    assert file.tensors == {n: s for n, s in in_v_jepa_2.items() if n.startswith("encoder.")}
    with pytest.raises(
        ModelError,
        match=r"predictor_embed.weight among them, got names that begin with 'encoder.modu",
    ):
        start(file, tmp_path / "SurgMotion-vitl.pt", "vjepa2", VJepaConfig(), "all")


def test_learned_positions_have_no_place_in_a_videomae(tmp_path: Path) -> None:
    """Its code can learn them; fixed ones are in no file of it, and ours are."""
    file = published("videomaev2_base_distilled")
    learned = replace(file, tensors=file.tensors | {"module.pos_embed": (1, 1568, 768)})
    with pytest.raises(ModelError, match=r"got encoder\.pos_embed, which has no place there"):
        start(learned, tmp_path / "weights.pth", "videomae", MAE, "encoder")


def test_two_norms_for_one_place_are_refused(tmp_path: Path) -> None:
    file = published("videomaev2_base_distilled")
    both = replace(
        file, tensors=file.tensors | {"module.norm.weight": (768,), "module.norm.bias": (768,)}
    )
    with pytest.raises(ModelError, match=r"expected one weight for encoder\.norm\.weight, got"):
        start(both, tmp_path / "weights.pth", "videomae", MAE, "encoder")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*which is a no-op"
)  # values are copied into a teacher without any
@pytest.mark.parametrize("name", IMAGES)
def test_a_published_file_teaches(name: str, tmp_path: Path) -> None:
    # DINOv3's biases are looked at, so its tensors need values, be it one for all numbers of a tensor.
    device = "cpu" if "dinov3" in name else "meta"
    torch.save(published(name).content(device), tmp_path / "teacher.pth")
    config = TeacherConfig(weights=str(tmp_path / "teacher.pth"), **IMAGES[name])
    with torch.device("meta"):
        teacher = load_teacher(config, GRID, seed=0)
    assert isinstance(teacher, Teacher)
    assert teacher.image_size == (14 * teacher.patch_size, 14 * teacher.patch_size)


def test_biases_that_a_model_has_no_place_for_are_not_lost(tmp_path: Path) -> None:
    content = published("dinov3_vits16").content("cpu")
    torch.save(content | {"blocks.3.attn.qkv.bias": torch.ones(3 * 384)}, tmp_path / "teacher.pth")
    config = TeacherConfig(weights=str(tmp_path / "teacher.pth"), model="vit_small_patch16_dinov3")
    with (
        torch.device("meta"),
        pytest.raises(
            ModelError,
            match=r"expected blocks.3.attn.qkv.bias to be zero, .* the one with _qkvb has them",
        ),
    ):
        load_teacher(config, GRID, seed=0)


def test_encoders_of_two_sizes_are_told_apart(tmp_path: Path) -> None:
    large = replace(MAE, encoder=EncoderConfig(size="large", positions="sinusoid", drop_path=0.0))
    with pytest.raises(
        ModelError, match=r"has the shape \(768, 1536\), not \(1024, 1536\)"
    ) as raised:
        start(published("videomae_base"), tmp_path / "weights.pth", "videomae", large, "all")
    assert "parts=encoder" not in str(raised.value), "which would not fit either"
