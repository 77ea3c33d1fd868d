"""Whole runs of the other recipes: killed and resumed, spread differently, and one stage after the other."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from surgstream.configs.loading import load
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.checkpoint import load_averages, load_parameters, tensors
from surgstream.trainer.lineage.reading import ancestry_of
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import OTHERS, fail, interrupt, log, metrics, newest, reported, train
from tests.helpers.ranks import finish, start

MAE, JEPA, UNISURG, VJEPA21, SURGMOTION, SALT = OTHERS
KINDS = ("param", "exp_avg", "exp_avg_sq", "average")


def everything(run_dir: Path) -> dict[str, Tensor]:
    """All tensors of a run's newest checkpoint."""
    checkpoint = newest(run_dir)
    assert checkpoint
    return {
        f"{kind}/{name}": tensor for kind in KINDS for name, tensor in tensors(checkpoint, kind)
    }


def objective_of(run_dir: Path, *overrides: str) -> Objective:
    """The objective of a run's newest checkpoint, ready to look at clips."""
    checkpoint = newest(run_dir)
    assert checkpoint
    objective = choice.build(
        load(TrainConfig, run_dir / "config.yaml", overrides).objective, seed=99
    )
    load_parameters(checkpoint, objective)
    load_averages(checkpoint, objective.averages())
    return objective.eval()


@pytest.mark.parametrize("recipe", OTHERS)
def test_a_killed_run_goes_on_to_the_same_bits(
    recipe: str, corpora: Corpora, tmp_path: Path
) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    train(corpora, calm, 2, "max_steps=10", recipe=recipe)
    interrupt(corpora, killed, 2, reported(killed, 6), "max_steps=10", recipe=recipe)
    train(corpora, killed, 2, "max_steps=10", recipe=recipe)
    expected, found = everything(calm), everything(killed)
    assert sorted(found) == sorted(expected)
    assert any(key.startswith("average/") for key in found) is (recipe not in (MAE, SALT))
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor), key
    losses = [{line["step"]: line["loss/total"] for line in metrics(run)} for run in (calm, killed)]
    assert losses[0] == losses[1] and len(losses[0]) == 10


@pytest.mark.parametrize("recipe", [UNISURG, VJEPA21, SURGMOTION])
def test_the_average_does_not_depend_on_how_a_run_is_spread(
    recipe: str, corpora: Corpora, tmp_path: Path
) -> None:
    length = ("max_steps=20", "epochs=100", "checkpoint.every_steps=20")
    words = (*length, "micro_batch_size=4", "optim.base_lr=2e-3", "objective.ema_decay=0.95")
    spreads = {"1 rank": (1, 1), "2 ranks": (2, 1), "2 ranks, ZeRO 2": (2, 2)}
    found = {}
    for name, (world_size, stage) in spreads.items():
        train(
            corpora,
            tmp_path / name,
            world_size,
            *words,
            f"parallel.zero_stage={stage}",
            recipe=recipe,
        )
        found[name] = {
            key: t for key, t in everything(tmp_path / name).items() if key.startswith("average/")
        }
    begin = dict(
        choice.build(
            load(TrainConfig, tmp_path / "1 rank" / "config.yaml").objective, seed=0
        ).averages()
    )
    assert (
        max(
            (t - begin[key.removeprefix("average/")]).abs().max()
            for key, t in found["1 rank"].items()
        )
        > 5e-4
    )
    for name, averages in found.items():
        for key, average in averages.items():
            torch.testing.assert_close(
                average,
                found["1 rank"][key],
                rtol=0,
                atol=1e-6,
                msg=lambda m, k=f"{name}: {key}": f"{k}: {m}",
            )


def test_a_second_stage_begins_with_the_features_of_the_first(
    corpora: Corpora, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(corpora, first, 1, "max_steps=8", recipe=UNISURG)
    stage_two = (
        f"warm_start={newest(first)}",
        "objective.encoder.num_frames=8",
        "optim.base_lr=1e-12",
        "objective.ema_decay=0.9999999",
        "max_steps=1",
    )
    train(corpora, second, 1, *stage_two, recipe=UNISURG)
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = objective_of(first).embed(clips)
    # Positions are a matter of the clip's length alone, so the longer run's weights see short clips as the first did.
    found = objective_of(second, "objective.encoder.num_frames=4").embed(clips)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_video_teacher_is_one_that_was_trained_here_and_is_descended_from(
    corpora: Corpora, tmp_path: Path
) -> None:
    """Its checkpoint is told of as what the weights began with is."""
    train(corpora, tmp_path / "mae", 1, "max_steps=2", "objective.encoder.patch_size=8", recipe=MAE)
    teacher = newest(tmp_path / "mae")
    numbers = "embed_dim: 48, depth: 2, num_heads: 6, image_size: 32, num_frames: 4, patch_size: 8"
    words = (
        f"objective.teacher={{weights: {teacher}, encoder: {{{numbers}, positions: sinusoid}}}}",
        "max_steps=2",
        "parallel.zero_stage=3",
        "probe=null",
    )
    lines = train(corpora, tmp_path / "salt", 2, *words, recipe=SALT)
    assert all(line["loss/prediction"] > 0 for line in lines if "loss/total" in line)

    (own,) = ancestry_of(str(teacher)).corpora
    found = ancestry_of(str(tmp_path / "salt"))
    assert found.corpora == (own,) and not found.foreign, "both saw the same corpus"
    provenance = json.loads((tmp_path / "salt" / "provenance.json").read_text())
    assert str(teacher) in json.dumps(provenance)


ANY_RECIPE = (
    "compile=false", "global_batch_size=4", "micro_batch_size=2", "data.fps=null", "data.stride=1", "held_out=null",
    "probe=null", "data.order.open_chunks=8", "data.order.chunk_frames=12", "data.decode.threads=1",
    "metrics.pictures_every_steps=1",
    "objective.encoder.embed_dim=48", "objective.encoder.depth=1", "objective.encoder.num_heads=2",
    "objective.encoder.image_size=64", "objective.encoder.num_frames=4", "max_steps=1", "warm_start=null",
)  # fmt: skip
_SALT = (
    "objective.predictor.depth=1",
    "objective.teacher={allow_random: true, encoder: {embed_dim: 32, depth: 1, num_heads: 2, image_size: 64, "
    "num_frames: 4, positions: sinusoid}}",
)
SHALLOW = {
    "mae": ("objective.decoder.depth=1",),
    "vjepa21": (
        "objective.predictor.depth=1", "objective.encoder.levels=[1]",
        "objective.images=null", "objective.encoder.images=false", "data.order.stills_share=null",
    ),
    "surgrec_jepa": ("objective.predictor.depth=1",),
    "unisurg": ("objective.predictor.depth=1",),
    "surgmotion": ("objective.predictor.depth=1",),
    "salt_teacher": ("objective.decoder.depth=1",),
    "salt_tiny": _SALT,
    "salt_vitl": _SALT,
    "surgvista": (
        "objective.teacher={model: test_vit, allow_random: true}",
        "objective.reconstruction_decoder.depth=1", "objective.distillation_decoder.depth=1",
    ),
}  # fmt: skip
"""What makes the networks around the encoder small, by a word in the recipe's name; they stay as wide as it says."""


WHOLE = sorted(
    path
    for path in Path("configs/pretrain").glob("*.yaml")
    if "\nbase: " not in path.read_text(encoding="utf-8")
)
"""Recipes that stand for themselves; what one with a base says beside it, other tests hold."""


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_every_recipe_takes_a_step_on_a_cpu(path: Path, corpora: Corpora, tmp_path: Path) -> None:
    """All that a recipe says but its size, which no CPU would finish."""
    run_dir = tmp_path / "run"
    (parts,) = (parts for name, parts in SHALLOW.items() if name in path.stem)
    words = [*ANY_RECIPE, *parts]
    words += [f"data.corpus={corpora.train}", f"run_dir={run_dir}"]
    assert finish(start(["pretrain", str(path), *words], 1, run_dir.with_suffix(".log"))) == [0], (
        log(run_dir)
    )
    (line,) = (line for line in metrics(run_dir) if "loss/total" in line)
    assert line["step"] == 1 and newest(run_dir)


def test_the_features_are_probed_and_watched(corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    words = (
        f"held_out={{corpus: {corpora.held_out}, every_steps: 2, clips: 16}}", "max_steps=4",
        "metrics.collapse_every_steps=2",
        "probe={label: phase, clips: 64, test_clips: 32, every_steps: 4}", "metrics.pictures_every_steps=4",
    )  # fmt: skip
    lines = train(corpora, run_dir, 2, *words, recipe=JEPA)
    (probed,) = (line for line in lines if "probe/accuracy" in line)
    assert probed["step"] == 4 and 0.0 <= probed["probe/balanced_accuracy"] <= 1.0
    assert 0.0 <= probed["probe/accuracy_of_majority"] < 0.5
    watched = [line for line in lines if "collapse/targets_effective_rank" in line]
    assert [line["step"] for line in watched] == [2, 4]
    for line in watched:
        assert 1.0 <= line["collapse/targets_effective_rank"] <= 48.0
        assert -1.0 <= line["collapse/predictions_mean_cosine"] <= 1.0
    assert (run_dir / "pictures" / "step_00000004.png").stat().st_size > 5000


def test_a_collapse_is_warned_of_with_the_evidence(corpora: Corpora, tmp_path: Path) -> None:
    """An average that follows at once, and a learning rate that throws the encoder far off, make all targets alike."""
    run_dir = tmp_path / "run"
    words = (
        "objective.ema_decay=0.0",
        "optim.base_lr=16",
        "max_steps=20",
        "metrics.collapse_every_steps=20",
    )
    lines = train(corpora, run_dir, 1, *words, recipe=JEPA)
    (watched,) = (line for line in lines if "collapse/targets_mean_cosine" in line)
    warning = run_dir.with_suffix(".log.rank0").read_text()
    assert watched["collapse/targets_mean_cosine"] > 0.98
    assert (
        f"targets collapse: mean cosine {watched['collapse/targets_mean_cosine']:.3g}, above 0.9 "
        in warning
    )
    assert "Raise objective.ema_decay" in warning


def test_what_is_drawn_too_often_is_warned_of(corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    words = (
        "max_steps=1",
        "data.order.weights={temperature: 0}",
        "data.order.warn_repeats_above=1.5",
    )
    train(corpora, run_dir, 1, *words, recipe=MAE)
    log = (run_dir / "train.log").read_text()
    assert "computing on " in log.splitlines()[0]
    assert "25.00 % of the draws, each clip 0.1" in log and " times in this run of 16 draws" in log
    assert "foxglove (general_surgery)" in log
    assert "more than data.order.warn_repeats_above 1.5" in log


def test_an_average_needs_whole_parameters(corpora: Corpora, tmp_path: Path) -> None:
    message = fail(corpora, tmp_path / "run", 1, "parallel.zero_stage=3", recipe=JEPA)
    assert (
        "parallel.zero_stage: expected 1 or 2, got 3, which keeps no whole parameters for vjepa to average"
        in message
    )


def test_a_probe_needs_other_videos(corpora: Corpora, tmp_path: Path) -> None:
    message = fail(corpora, tmp_path / "run", 1, "probe={}", recipe=MAE)
    assert "probe.test_corpus: expected a corpus where held_out is null, got nothing" in json.dumps(
        message
    )
