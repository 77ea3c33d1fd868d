"""Whatever stands in an exported folder: an error that names it, or an encoder of the size that its weights have."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.export import load_encoder
from surgstream.trainer.export.folder.record import CONFIG, LayoutName
from surgstream.trainer.export.source import TrainedEncoder
from surgstream.trainer.export.writing import publish
from surgstream.trainer.lineage.ancestry import NOTHING
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.config import VideoMaeConfig
from tests.fuzz.damage import altered, cases, damaged

ENCODER = EncoderConfig(
    embed_dim=16,
    depth=1,
    num_heads=2,
    image_size=16,
    num_frames=2,
    patch_size=8,
    positions="sinusoid",
)


@pytest.fixture(scope="module", params=["surgstream", "transformers", "videomae"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout: LayoutName = request.param
    recipe = TrainConfig(
        run_dir="x", global_batch_size=1, micro_batch_size=1, epochs=1, data=DataConfig(corpus="y"),
        objective=VideoMaeConfig(encoder=ENCODER),
    )  # fmt: skip
    state = {
        f"encoder.{name}": parameter.detach()
        for name, parameter in Encoder(ENCODER).named_parameters()
    }
    out = tmp_path_factory.mktemp(layout) / "out"
    publish(
        TrainedEncoder(
            recipe=recipe, state=state, averaged=False, step=1, clips_seen=1, ancestry=NOTHING
        ),
        out,
        layout,
    )
    return out


@given(st.data())
@cases(40)
def test_config(folder: Path, data: st.DataObject) -> None:
    path = folder / CONFIG
    whole = path.read_bytes()
    path.write_bytes(
        data.draw(altered(json.loads(whole)).map(json.dumps).map(str.encode) | damaged(whole))
    )
    try:
        encoder = load_encoder(folder)
    except ModelError as error:
        assert str(folder) in str(error) and len(str(error)) < 30_000
    else:
        numbers = encoder.config.encoder
        shape = (1, 3, numbers.num_frames, numbers.image_size, numbers.image_size)
        assert numbers.grid.num_tokens > 4096 or encoder(torch.zeros(shape)).shape[2] == 16
    finally:
        path.write_bytes(whole)
