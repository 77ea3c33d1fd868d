"""Exported encoders, read back by this project and by transformers: the same features to 1e-5."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from configs.loading import to_tree
from tests.helpers.ranks import process_group
from tests.trainer.test_surgvista import TINY as SURGVISTA_TINY
from tests.trainer.test_surgvista import clip_batch
from tests.trainer.test_unisurg import TINY as UNISURG_TINY
from tests.trainer.test_videomae import TINY as VIDEOMAE_TINY
from tests.trainer.test_vjepa import TINY as VJEPA_TINY
from tests.trainer.test_warmstart import objective_of
from trainer.config import TrainConfig, WarmStartConfig
from trainer.data.config import DataConfig
from trainer.engine.checkpoint import save_checkpoint
from trainer.engine.config import OptimConfig, ParallelConfig
from trainer.engine.parallel import ZeroEngine
from trainer.engine.schedules import Progress
from trainer.errors import CheckpointError, ModelError
from trainer.export import export, main
from trainer.objectives import choice
from trainer.objectives.base import Objective
from trainer.objectives.config import ObjectiveConfig
from trainer.warmstart import warm_start

CONFIGS: dict[str, ObjectiveConfig] = {
    "surgvista": SURGVISTA_TINY, "videomae": VIDEOMAE_TINY, "vjepa": VJEPA_TINY, "unisurg": UNISURG_TINY,
}  # fmt: skip


def save(config: ObjectiveConfig, folder: Path) -> tuple[Path, Objective]:
    """A checkpoint as a run would save it, and the objective it was saved from."""
    objective = objective_of(config, seed=4)
    recipe = TrainConfig(
        run_dir="x", global_batch_size=2, micro_batch_size=2, epochs=1, data=DataConfig(corpus="y"), objective=config
    )
    engine = ZeroEngine(
        objective, OptimConfig(), ParallelConfig(), micro_batch_size=2, grad_accum_steps=1, device=torch.device("cpu")
    )
    progress = Progress(step=7, g=14, state={"config": to_tree(recipe)})
    return save_checkpoint(folder, engine, progress, objective.averages()), objective


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Objective]]:
    with process_group():
        return {name: save(config, tmp_path_factory.mktemp(name)) for name, config in CONFIGS.items()}


def clips_for(config: ObjectiveConfig) -> torch.Tensor:
    return clip_batch([1, 2], config.encoder.image_size, config.encoder.num_frames).clips


@torch.no_grad()
def features(objective: Objective, clips: torch.Tensor, *, averaged: bool = True) -> torch.Tensor:
    """All tokens of the averaged encoder, where there is one, or of the trained one."""
    encoder = getattr(objective, "target_encoder", objective.encoder) if averaged else objective.encoder
    tokens: torch.Tensor = encoder.eval()(clips)
    return tokens


@pytest.mark.parametrize("name", ["videomae", "vjepa", "unisurg"])
def test_transformers_has_the_same_features(
    name: str, saved: dict[str, tuple[Path, Objective]], tmp_path: Path
) -> None:
    checkpoint, objective = saved[name]
    assert main([str(checkpoint), str(tmp_path / "out"), "--layout", "transformers"]) == 0
    kind = transformers.VideoMAEModel if name == "videomae" else transformers.VJEPA2Model
    theirs, loaded = kind.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loaded[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loaded
    clips = clips_for(CONFIGS[name])
    with torch.no_grad():
        found = theirs.eval()(clips.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(found, features(objective, clips), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_may_begin_with_an_exported_encoder(
    name: str, saved: dict[str, tuple[Path, Objective]], tmp_path: Path
) -> None:
    checkpoint, objective = saved[name]
    config, out = CONFIGS[name], tmp_path / "out"
    said = export(checkpoint, out, "surgstream", averaged=True)
    assert "encoder of step 7" in said and ("averaged" in said) is (name in ("vjepa", "unisurg"))
    assert json.loads((out / "config.json").read_text())["encoder"]["positions"] == config.encoder.positions
    begun = choice.build(config, seed=99)
    warm_start(WarmStartConfig(weights=str(out), parts="encoder"), begun, config.encoder)
    assert torch.equal(features(begun, clips_for(config)), features(objective, clips_for(config)))


def test_the_trained_weights_can_be_had_instead(saved: dict[str, tuple[Path, Objective]], tmp_path: Path) -> None:
    checkpoint, objective = saved["vjepa"]
    assert main([str(checkpoint), str(tmp_path / "out"), "--weights", "trained"]) == 0
    begun, clips = choice.build(VJEPA_TINY, seed=99), clips_for(VJEPA_TINY)
    warm_start(WarmStartConfig(weights=str(tmp_path / "out"), parts="encoder"), begun, VJEPA_TINY.encoder)
    assert torch.equal(features(begun, clips), features(objective, clips, averaged=False))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_may_begin_with_a_whole_checkpoint(name: str, saved: dict[str, tuple[Path, Objective]]) -> None:
    checkpoint, objective = saved[name]
    begun = choice.build(CONFIGS[name], seed=99)
    warm_start(WarmStartConfig(weights=str(checkpoint)), begun, CONFIGS[name].encoder)
    for (key, parameter), expected in zip(begun.named_parameters(), objective.parameters(), strict=True):
        assert torch.equal(parameter, expected), key
    for key, average in begun.averages().items():
        assert torch.equal(average, objective.averages()[key]), key


def test_longer_clips_go_on_from_the_same_features(saved: dict[str, tuple[Path, Objective]]) -> None:
    """A second stage: more frames, the same features of the clips of the first."""
    checkpoint, objective = saved["unisurg"]
    longer = replace(UNISURG_TINY, encoder=replace(UNISURG_TINY.encoder, num_frames=16))
    begun = choice.build(longer, seed=99)
    warm_start(WarmStartConfig(weights=str(checkpoint)), begun, longer.encoder)
    again = choice.build(UNISURG_TINY, seed=99)
    again.load_state_dict(begun.state_dict())
    again.target_encoder.load_state_dict(begun.target_encoder.state_dict())  # type: ignore[operator, union-attr]
    clips = clips_for(UNISURG_TINY)
    assert torch.equal(features(again, clips), features(objective, clips))
    assert begun.represent(clips_for(longer)).isfinite().all()


def test_what_cannot_be_exported_or_begun_with_is_refused(
    saved: dict[str, tuple[Path, Objective]], tmp_path: Path
) -> None:
    checkpoint, _ = saved["surgvista"]
    with pytest.raises(ModelError, match=r"expected sinusoid \(VideoMAE\) or rope .* got sincos"):
        export(checkpoint, tmp_path / "out", "transformers", averaged=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="exists and is not empty"):
        export(checkpoint, tmp_path, "surgstream", averaged=True)
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        export(tmp_path, tmp_path / "out", "surgstream", averaged=True)
    with pytest.raises(ModelError, match=r"got sincos; set objective.encoder.positions=sincos"):
        warm_start(WarmStartConfig(weights=str(checkpoint)), choice.build(VIDEOMAE_TINY, 0), VIDEOMAE_TINY.encoder)
    export(checkpoint, tmp_path / "exported", "surgstream", averaged=True)
    with pytest.raises(ModelError, match=r"expected an encoder trained with sinusoid positions, got sincos"):
        warm_start(
            WarmStartConfig(weights=str(tmp_path / "exported"), parts="encoder"),
            choice.build(VIDEOMAE_TINY, 0),
            VIDEOMAE_TINY.encoder,
        )
    with pytest.raises(ModelError, match=r"encoder.blocks.0.attention.k_bias is missing"):
        sincos = replace(VJEPA_TINY.encoder, positions="sincos")
        warm_start(WarmStartConfig(weights=str(checkpoint), parts="encoder"), choice.build(VJEPA_TINY, 0), sincos)
