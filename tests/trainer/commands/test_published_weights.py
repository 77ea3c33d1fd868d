"""A file with SurgMotion's key, prefixes and names through the commands that take published weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surgstream.launch.__main__ import main
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.engine.stored_tensors import stored_tensors
from surgstream.trainer.evaluation.predictions.stored import read_predictions
from surgstream.trainer.models.config import EncoderConfig
from tests.helpers.labelled import write_labelled, write_task
from tests.helpers.ranks import finish, start

FILE = Path(__file__).parents[2] / "data" / "encoders" / "surgmotion.pth"
SHAPE = {
    "embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8, "num_frames": 4, "image_size": 16,
}  # fmt: skip
FROZEN = (
    "encoder.layout=vjepa2",
    "encoder.prefix=encoder",
    f"encoder.shape={json.dumps(SHAPE)}",
    "encoder.known_as=unisurg",
    "encoder.autocast=none",
)
SHORT = ("global_batch_size=8", "micro_batch_size=4", "clips_per_epoch=16", "epochs=1")
UNKNOWN = "UniSurg, SurgMotion: videos of the web and of hospitals are among its sources"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A task, its labels and a corpus, as a command wants them."""
    folder = tmp_path_factory.mktemp("labelled")
    corpus, labels = write_labelled(folder)
    task = write_task(folder, "phases", clip={"num_frames": 4, "stride": 1})
    return {"task": task, "labels": str(labels), "data.corpus": str(corpus)}


@pytest.fixture(scope="module")
def identity() -> str:
    """What decides the features of the file's encoder; `encoders/test_public_code.py` has these features."""
    shape = EncoderConfig(**SHAPE)  # type: ignore[arg-type]
    return load_frozen(str(FILE), FrozenConfig(layout="vjepa2", shape=shape), seed=0).identity


def test_features_are_those_of_the_file(
    given: dict[str, str], identity: str, tmp_path: Path
) -> None:
    place = (str(FILE), given["data.corpus"], str(tmp_path))
    task = ("--task", given["task"], "--labels", given["labels"])
    assert main(["features", *place, *task, "micro_batch_size=4", *FROZEN]) == 0

    (about,) = tmp_path.glob("*/about.json")
    assert json.loads(about.read_text())["identity"] == identity
    stored = np.load(about.parent / "knee" / "knee-000001.npy")["feature"]
    assert stored.shape[1] == 32 and np.isfinite(stored).all() and stored.std(0).min() > 0


@pytest.mark.slow
def test_a_probe_is_of_the_file(given: dict[str, str], identity: str, tmp_path: Path) -> None:
    words = [*(f"{key}={value}" for key, value in given.items()), f"weights={FILE}"]
    about = predicted(["probe", "probe_tiny", *words, *SHORT, *FROZEN], tmp_path / "run")
    assert (about["encoder"], about["encoder_sha256"]) == ("surgmotion", identity)
    assert UNKNOWN in about["leaks"]["unknown"][0]


@pytest.mark.slow
def test_fine_tuning_begins_with_the_file(given: dict[str, str], tmp_path: Path) -> None:
    begin = {
        "weights": str(FILE),
        "layout": "vjepa2",
        "parts": "encoder",
        "prefix": "encoder",
        "known_as": "unisurg",
    }
    encoder = SHAPE | {"positions": "rope", "drop_path": 0.0}
    words = [
        *(f"{key}={value}" for key, value in given.items()),
        f"warm_start={json.dumps(begin)}",
        f"objective.encoder={json.dumps(encoder)}",
        # Steps that move nothing, so that what is saved is what a run began with
        "optim.base_lr=1e-12",
        "optim.min_lr=0",
    ]
    about = predicted(["finetune", "finetune_tiny", *words, *SHORT], tmp_path / "run")
    assert UNKNOWN in about["leaks"]["unknown"][0]

    theirs = torch.load(FILE, weights_only=True)["encoder"]
    saved = {
        stored.name: stored.whole()
        for stored in stored_tensors(tmp_path / "run/checkpoints/step_00000002", ("param",))
    }
    for number in range(SHAPE["depth"]):
        block = f"module.backbone.blocks.{number}"
        ours = f"encoder.blocks.{number}"
        biases = [saved[f"{ours}.attention.{name}_bias"] for name in "qkv"]
        assert_moved_by_nothing(torch.cat(biases), theirs[f"{block}.attn.qkv.bias"])
        matrix = saved[f"{ours}.attention.qkv.weight"]
        assert_moved_by_nothing(matrix, theirs[f"{block}.attn.qkv.weight"])
    tubelets = theirs["module.backbone.patch_embed.proj.weight"].flatten(1)
    assert_moved_by_nothing(saved["encoder.embedding.projection.weight"], tubelets)


def predicted(words: list[str], run_dir: Path) -> dict[str, Any]:
    """Run a command in a process of its own; returns what its predictions of the test say of themselves."""
    log = run_dir.with_suffix(".log")
    statuses = finish(start([*words, f"run_dir={run_dir}"], 1, log))
    assert statuses == [0], log.with_name(f"{log.name}.rank0").read_text()
    return dict(read_predictions(run_dir / "predictions" / "test.npz").about)


def assert_moved_by_nothing(found: torch.Tensor, began: torch.Tensor) -> None:
    torch.testing.assert_close(found, began.float(), rtol=0, atol=1e-6)
