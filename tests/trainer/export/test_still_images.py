"""An exported encoder that was trained on still images as such (V-JEPA 2.1)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from surgstream.trainer.commands.export import export
from surgstream.trainer.errors import ModelError
from surgstream.trainer.export import load_encoder
from tests.helpers.ranks import process_group
from tests.trainer.export.saved import features, save
from tests.trainer.objectives.test_vjepa21 import CONFIG as VJEPA21


@pytest.mark.slow
def test_an_encoder_that_was_trained_on_images_takes_them_too(tmp_path: Path) -> None:
    with process_group():
        checkpoint, objective = save(VJEPA21, tmp_path / "run")
    export(checkpoint, tmp_path / "out", "surgstream", averaged=True)
    encoder = load_encoder(tmp_path / "out")

    images = encoder.prepare(np.random.default_rng(1).integers(0, 256, (2, 1, 40, 50, 3), np.uint8))
    tokens = encoder(images)
    assert tokens.shape == (2, VJEPA21.encoder.grid.num_tubes, VJEPA21.encoder.shape.embed_dim)
    assert torch.equal(tokens, features(objective, images))

    clips = images.expand(-1, -1, 4, -1, -1)
    assert torch.equal(encoder(clips), features(objective, clips))
    with pytest.raises(
        ModelError, match=r"\(B, 3, 4, 32, 32\), of images \(B, 3, 1, 32, 32\), got \(2, 3, 2, 32"
    ):
        encoder(clips[:, :, :2])

    card = (tmp_path / "out" / "README.md").read_text()
    assert "| levels | blocks 1, 3 were trained to be predicted; these tokens" in card
    assert "| images | (B, 3, 1, 32, 32) as well, by a tokenizer of their own" in card
