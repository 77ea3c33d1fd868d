"""Runs that begin with what an earlier one left: its exported encoder, or its checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from surgstream.launch.commands import run
from surgstream.trainer.commands.export import export
from surgstream.trainer.errors import ModelError
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.warm_start import warm_start
from tests.trainer.export.saved import CONFIGS, Saved, clips_for, features
from tests.trainer.objectives.test_unisurg import TINY as UNISURG_TINY
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE_TINY
from tests.trainer.objectives.test_vjepa import TINY as VJEPA_TINY


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_may_begin_with_an_exported_encoder(name: str, saved: Saved, tmp_path: Path) -> None:
    checkpoint, objective = saved[name]
    config, out = CONFIGS[name], tmp_path / "out"
    export(checkpoint, out, "surgstream", averaged=True)
    begun = choice.build(config, seed=99)
    warm_start(WarmStartConfig(weights=str(out), parts="encoder"), begun, config.encoder)
    assert torch.equal(features(begun, clips_for(config)), features(objective, clips_for(config)))


def test_the_trained_weights_can_be_had_instead(saved: Saved, tmp_path: Path) -> None:
    checkpoint, objective = saved["vjepa"]
    assert run("export", [str(checkpoint), str(tmp_path / "out"), "--weights", "trained"]) == 0
    begun, clips = choice.build(VJEPA_TINY, seed=99), clips_for(VJEPA_TINY)
    warm_start(
        WarmStartConfig(weights=str(tmp_path / "out"), parts="encoder"), begun, VJEPA_TINY.encoder
    )
    assert torch.equal(features(begun, clips), features(objective, clips, averaged=False))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_may_begin_with_a_whole_checkpoint(name: str, saved: Saved) -> None:
    checkpoint, objective = saved[name]
    begun = choice.build(CONFIGS[name], seed=99)
    warm_start(WarmStartConfig(weights=str(checkpoint)), begun, CONFIGS[name].encoder)
    for (key, parameter), expected in zip(
        begun.named_parameters(), objective.parameters(), strict=True
    ):
        assert torch.equal(parameter, expected), key
    for key, average in begun.averages().items():
        assert torch.equal(average, objective.averages()[key]), key


@pytest.mark.parametrize(
    ("place", "prefix", "message"),
    [
        (
            ".",
            None,
            r"expected one of a run's checkpoints, got the run .*; its newest is .*step_0*7$",
        ),
        (
            "checkpoints",
            None,
            "expected a file of weights, got the folder .*checkpoints, without model.safetensors",
        ),
        (
            "checkpoints/{}",
            "student",
            "warm_start.prefix: expected none, as .* is a checkpoint of ours, got 'student'",
        ),
    ],
)
def test_what_is_no_checkpoint_of_ours_is_told(
    place: str, prefix: str | None, message: str, saved: Saved, tmp_path: Path
) -> None:
    checkpoint, _ = saved["videomae"]
    (tmp_path / "checkpoints").symlink_to(checkpoint.parent)
    weights = str(tmp_path / place.format(checkpoint.name))
    begun = choice.build(VIDEOMAE_TINY, seed=99)
    with pytest.raises(ModelError, match=message):
        warm_start(WarmStartConfig(weights=weights, prefix=prefix), begun, VIDEOMAE_TINY.encoder)


def test_longer_clips_go_on_from_the_same_features(saved: Saved) -> None:
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
    assert begun.embed(clips_for(longer)).isfinite().all()


def test_weights_of_other_positions_are_refused(saved: Saved, tmp_path: Path) -> None:
    checkpoint, _ = saved["surgvista"]
    with pytest.raises(ModelError, match=r"got sincos; set objective.encoder.positions=sincos"):
        warm_start(
            WarmStartConfig(weights=str(checkpoint)),
            choice.build(VIDEOMAE_TINY, 0),
            VIDEOMAE_TINY.encoder,
        )
    export(checkpoint, tmp_path / "exported", "surgstream", averaged=True)
    with pytest.raises(
        ModelError, match=r"expected an encoder trained with sinusoid positions, got sincos"
    ):
        warm_start(
            WarmStartConfig(weights=str(tmp_path / "exported"), parts="encoder"),
            choice.build(VIDEOMAE_TINY, 0),
            VIDEOMAE_TINY.encoder,
        )
    with pytest.raises(ModelError, match=r"encoder.blocks.0.attention.k_bias is missing"):
        sincos = replace(VJEPA_TINY.encoder, positions="sincos")
        warm_start(
            WarmStartConfig(weights=str(checkpoint), parts="encoder"),
            choice.build(VJEPA_TINY, 0),
            sincos,
        )
