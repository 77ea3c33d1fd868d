"""V-JEPA 2.1's encoder and predictor against what its own code made of the same weights; see tests/data/encoders."""

from pathlib import Path

import numpy as np
import pytest
import torch

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import VJepaConfig
from surgstream.trainer.objectives.vjepa import VJepa
from surgstream.trainer.objectives.vjepa_config import ContextConfig, ImagesConfig
from surgstream.trainer.warm_start import warm_start

FOLDER = Path(__file__).parents[2] / "data" / "encoders"
ENCODER = EncoderConfig(
    embed_dim=32,
    depth=4,
    num_heads=2,
    image_size=24,
    num_frames=16,
    patch_size=8,
    positions="rope_scaled",
    levels=(1, 2, 3, 4),
    images=True,
    drop_path=0.0,
)
CONFIG = VJepaConfig(
    encoder=ENCODER,
    predictor=PredictorConfig(embed_dim=16, depth=4, num_heads=2, num_mask_tokens=3),
    context=ContextConfig(),
    images=ImagesConfig(share=0.5),
)


@pytest.fixture(scope="module")
def frozen() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "features.npz") as archive:
        return {name: archive[name] for name in archive}


@pytest.fixture(scope="module")
def started() -> VJepa:
    """The objective, begun with the weights."""
    objective = choice.build(CONFIG, seed=0)
    assert isinstance(objective, VJepa)
    path = FOLDER / "vjepa2_1_training.pth"
    settings = WarmStartConfig(weights=str(path), layout="vjepa2_1", parts="all")
    warm_start(settings, objective, ENCODER)
    return objective


@pytest.mark.parametrize("kind", ["video", "image"])
@torch.no_grad()
def test_levels_and_both_predictions_are_those_of_their_code(
    started: VJepa, frozen: dict[str, np.ndarray], kind: str
) -> None:
    frames = torch.from_numpy(frozen["frames"]).float() / 255
    mean, std = (torch.tensor(values) for values in (IMAGENET_MEAN, IMAGENET_STD))
    clips = ((frames - mean) / std).permute(0, 4, 1, 2, 3)
    theirs = {
        name: torch.from_numpy(frozen[f"vjepa2_1_training_{kind}_{name}"])
        for name in ("visible", "masked", "levels", "of_masked", "of_visible")
    }
    visible, masked = theirs["visible"], theirs["masked"]
    is_image = kind == "image"

    levels = started.encoder.at_levels(clips[:, :, :1] if is_image else clips, visible)
    of_masked, of_visible = started.predictor.both(levels, visible, masked, 1, is_image=is_image)

    torch.testing.assert_close(levels, theirs["levels"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(of_masked, theirs["of_masked"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(of_visible, theirs["of_visible"], rtol=1e-5, atol=1e-5)


def test_the_average_begins_where_the_encoder_does_where_the_file_has_none(started: VJepa) -> None:
    average = started.target_encoder.state_dict()
    assert all(torch.equal(average[name], w) for name, w in started.encoder.state_dict().items())


def test_an_encoder_without_levels_and_images_takes_what_it_has_a_place_for(
    started: VJepa, frozen: dict[str, np.ndarray]
) -> None:
    """Its features of videos are the same: what says that tokens are of videos is in its bias."""
    plain = EncoderConfig(
        embed_dim=32, depth=4, num_heads=2, image_size=24, num_frames=16, patch_size=8,
        positions="rope_scaled", drop_path=0.0,
    )  # fmt: skip
    objective = choice.build(VJepaConfig(encoder=plain, predictor=CONFIG.predictor), seed=0)
    path = FOLDER / "vjepa2_1_training.pth"
    warm_start(
        WarmStartConfig(weights=str(path), layout="vjepa2_1", parts="encoder"), objective, plain
    )
    clips = torch.randn(2, 3, 16, 24, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        objective.encoder(clips), started.encoder(clips), rtol=1e-5, atol=1e-5
    )
