"""Encoders of our own checkpoints and exports: the features that were trained, and the rate of their clips."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from surgstream.trainer.commands.export import export
from surgstream.trainer.encoders.choice import check_rate, load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.engine.checkpoint_files import read_state, state_bytes
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.objectives.config import SupervisedConfig
from surgstream.trainer.objectives.supervised import Supervised
from tests.helpers.ranks import process_group
from tests.trainer.encoders.clips import assert_close
from tests.trainer.export.saved import CONFIGS, FITTING, Saved, clips_for, features, save

PLAIN = FrozenConfig()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_has_the_features_of_its_newest_checkpoint(name: str, saved: Saved) -> None:
    checkpoint, objective = saved[name]
    clips = clips_for(CONFIGS[name])
    encoder = load_frozen(str(checkpoint), PLAIN, seed=0)
    assert torch.equal(encoder.tokens(clips), features(objective, clips))

    of_run = load_frozen(str(checkpoint.parent.parent), PLAIN, seed=1)
    assert (of_run.identity, of_run.name) == (encoder.identity, encoder.name)
    assert encoder.name == f"{checkpoint.parent.parent.name} step_00000007"
    assert (encoder.fps, encoder.stride) == (None, 4)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(("by", "step"), [("best", 3), ("last", 7)])
def test_a_run_that_chose_its_weights_has_their_features(
    by: str, step: int, saved: Saved, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    for number, score in ((3, 0.9), (7, 0.5)):
        folder = run_dir / "checkpoints" / f"step_{number:08d}"
        shutil.copytree(saved["videomae"][0], folder)
        state = read_state(folder) | {"step": number, "scores": [[3, 0.9], [number, score]]}
        state["config"]["select"] = {"by": by, "every_epochs": 1.0}
        (folder / "state.json").write_bytes(state_bytes(state))

    encoder = load_frozen(str(run_dir), PLAIN, seed=0)
    assert encoder.name == f"run step_{step:08d}"


@pytest.mark.parametrize("name", ["vjepa", "unisurg", "surgmotion"])
def test_the_average_is_taken_where_there_is_one(name: str, saved: Saved) -> None:
    checkpoint, objective = saved[name]
    clips = clips_for(CONFIGS[name])
    trained = load_frozen(str(checkpoint), FrozenConfig(averaged=False), seed=0)
    assert torch.equal(trained.tokens(clips), features(objective, clips, averaged=False))
    assert trained.identity != load_frozen(str(checkpoint), PLAIN, seed=0).identity


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name in FITTING for layout in FITTING[name]]
)
def test_an_export_is_the_same_encoder_in_every_layout(
    name: str, layout: Any, saved: Saved, tmp_path: Path
) -> None:
    checkpoint, objective = saved[name]
    export(checkpoint, tmp_path / "out", layout, averaged=True)
    encoder = load_frozen(str(tmp_path / "out"), PLAIN, seed=0)
    clips = clips_for(CONFIGS[name])
    assert_close(encoder.tokens(clips), features(objective, clips))
    assert encoder.identity == load_frozen(str(checkpoint), PLAIN, seed=0).identity
    assert (encoder.name, encoder.stride) == ("out", 4)


def with_recipe(checkpoint: Path, folder: Path, change: Any) -> Path:
    """A copy of a checkpoint whose recipe was another."""
    copied = folder / checkpoint.name
    shutil.copytree(checkpoint, copied)
    state = read_state(copied)
    change(state)
    (copied / "state.json").write_bytes(state_bytes(state))
    return copied


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"data": {"fps": 2.0, "stride": 4}}, (2.0, 4)),
        ({"data": {"fps": 5, "stride": 1}}, (5.0, 1)),
        ({"data": {"fps": 5.0, "stride": 1}, "task": "t", "clips": {"stride": 3}}, (5.0, 3)),
        ({"data": {"fps": 5.0, "stride": 1}, "task": "t", "clips": {"stride": None}}, (5.0, None)),
        ({"data": {"fps": 5.0, "stride": 1}, "task": "t", "clips": {"stride": "uniform"}}, (5.0, None)),
    ],
)  # fmt: skip
def test_the_rate_is_that_of_the_recipe(
    recipe: Any, expected: tuple[float, int | None], saved: Saved, tmp_path: Path
) -> None:
    checkpoint = with_recipe(saved["videomae"][0], tmp_path, lambda s: s["config"].update(recipe))
    encoder = load_frozen(str(checkpoint), PLAIN, seed=0)
    assert (encoder.fps, encoder.stride) == expected
    if expected[1] is None:
        assert check_rate(encoder, 77.0) is None
        return

    trained = expected[1] / expected[0]
    for near in (trained, 1.05 * trained, 0.95 * trained):
        assert check_rate(encoder, near) is None
    for far in (2 * trained, trained / 2, 1.2 * trained):
        assert f"was trained with {trained:.3g} s from one frame" in str(check_rate(encoder, far))


def test_a_fine_tuned_model_norms_after_its_pooling(tmp_path: Path) -> None:
    config = SupervisedConfig(
        encoder=replace(CONFIGS["videomae"].encoder, drop_path=0.0), kind="class", num_outputs=3
    )
    with process_group():
        checkpoint, objective = save(config, tmp_path / "checkpoints")
    assert isinstance(objective, Supervised)
    clips = clips_for(config)

    encoder = load_frozen(str(checkpoint), PLAIN, seed=0)
    with torch.no_grad():
        tokens = objective.encoder.eval()(clips)
        pooled = objective.fc_norm(tokens.mean(1))
        assert_close(encoder.pooled(clips), pooled)
        assert_close(encoder.tokens(clips), objective.fc_norm(tokens))

    # As a yardstick it is what pretraining begins with, whose norm comes first
    random = load_frozen(f"random:{checkpoint}", PLAIN, seed=0)
    assert_close(random.pooled(clips), random.tokens(clips).mean(1))


def test_longer_clips_of_our_own(saved: Saved) -> None:
    checkpoint, _ = saved["unisurg"]
    numbers = CONFIGS["unisurg"].encoder
    asked = FrozenConfig(num_frames=2 * numbers.num_frames)
    encoder = load_frozen(str(checkpoint), asked, seed=0)
    longer = replace(numbers, num_frames=2 * numbers.num_frames)
    assert encoder.grid == longer.grid
    assert encoder.identity != load_frozen(str(checkpoint), PLAIN, seed=0).identity


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            FrozenConfig(layout="vjepa2"),
            "encoder.layout: expected auto, as .* is a checkpoint of our",
        ),
        (FrozenConfig(prefix="a"), "encoder.prefix: expected null, as .* tells its own, got 'a'"),
        (FrozenConfig(model="a"), "encoder.model: expected null where encoder.layout is not timm"),
        (FrozenConfig(image_size=49), "image_size: expected a multiple of patch_size"),
    ],
)
def test_settings_that_a_checkpoint_knows_better(
    config: FrozenConfig, message: str, saved: Saved
) -> None:
    with pytest.raises(ModelError, match=message):
        load_frozen(str(saved["videomae"][0]), config, seed=0)


def test_a_run_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(
        CheckpointError, match="expected a run that has saved a checkpoint, got one"
    ):
        load_frozen(str(tmp_path), PLAIN, seed=0)


def test_a_damaged_checkpoint_is_told(saved: Saved, tmp_path: Path) -> None:
    copied = with_recipe(saved["videomae"][0], tmp_path, lambda state: None)
    weights = next(copied.glob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"expected a run directory or a whole checkpoint, got"
    ):
        load_frozen(str(copied), PLAIN, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("config"),
        lambda state: state.update(config=None),
        lambda state: state["config"]["objective"]["encoder"].update(depth="three"),
        lambda state: state["config"].pop("data"),
    ],
)
def test_a_checkpoint_without_its_recipe_is_told(change: Any, saved: Saved, tmp_path: Path) -> None:
    copied = with_recipe(saved["videomae"][0], tmp_path, change)
    with pytest.raises(CheckpointError, match="expected the recipe it was trained with"):
        load_frozen(str(copied), PLAIN, seed=0)


def test_a_recipe_of_another_network_than_the_weights_is_told(saved: Saved, tmp_path: Path) -> None:
    def deeper(state: dict[str, Any]) -> None:
        state["config"]["objective"]["encoder"]["depth"] = 3

    copied = with_recipe(saved["videomae"][0], tmp_path, deeper)
    with pytest.raises(
        ModelError, match=r"got others: blocks\.2\.norm1\.weight is missing; .* and 9 more"
    ):
        load_frozen(str(copied), PLAIN, seed=0)


def test_an_export_of_other_numbers_is_told(saved: Saved, tmp_path: Path) -> None:
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)
    path = tmp_path / "out" / "config.json"
    tree = json.loads(path.read_text())
    tree["encoder"]["depth"] = 7
    path.write_text(json.dumps(tree))
    with pytest.raises(
        ModelError, match=r"expected the encoder that config.json tells of, 7 blocks"
    ):
        load_frozen(str(tmp_path / "out"), PLAIN, seed=0)


def test_a_bare_file_of_our_names_needs_its_numbers(saved: Saved, tmp_path: Path) -> None:
    checkpoint, objective = saved["videomae"]
    config = CONFIGS["videomae"]
    export(checkpoint, tmp_path / "out", "surgstream", averaged=True)
    path = str((tmp_path / "out" / "model.safetensors").rename(tmp_path / "bare.safetensors"))

    named = FrozenConfig(layout="surgstream", shape=config.encoder)
    clips = clips_for(config)
    assert torch.equal(load_frozen(path, named, 0).tokens(clips), features(objective, clips))
    for layout, message in (
        ("surgstream", "encoder.shape: expected the numbers"),
        ("auto", "fit surgstr"),
    ):
        with pytest.raises(ModelError, match=message):
            load_frozen(path, FrozenConfig(layout=layout), seed=0)  # type: ignore[arg-type]
