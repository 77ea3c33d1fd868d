"""Equal budgets, the ranks of features, the table, and an experiment in small that is killed and goes on."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.benchmarks.experiments.recipes import running
from surgstream.benchmarks.experiments.recipes.budget import (
    TEACHER_SHARE,
    Schedule,
    Teacher,
    same_encoder,
    schedule,
    teacher_of,
    tiny_recipes,
)
from surgstream.benchmarks.experiments.recipes.experiment import experiment
from surgstream.benchmarks.experiments.recipes.judging import rank_of
from surgstream.benchmarks.experiments.recipes.places import Places, Setting
from surgstream.benchmarks.experiments.recipes.running import CommandError, prepare, pretrain
from surgstream.benchmarks.experiments.recipes.tables import table
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.objectives.config import SurgMotionConfig, UniSurgConfig, VJepaConfig

BEGINNING = Progress(step=0, clips_seen=0, state={})
RECIPES = tiny_recipes()
AVERAGED = (VJepaConfig, UniSurgConfig, SurgMotionConfig)
SETTING = Setting(
    budget=1e11,
    seeds=(0,),
    train_times=1,
    train_seconds=4,
    test_times=2,
    test_seconds=4,
    num_train=5,
    num_val=1,
    protocols={"synth_phases": ("probe_tiny", "epochs=1", "clips_per_epoch=32")},
)


def recipe(name: str, *words: str) -> TrainConfig:
    return load_recipe(RECIPES[name], [*same_encoder(RECIPES[name]), *words])


def test_recipes_are_found_by_their_names() -> None:
    assert {"surgvista_tiny", "surgrec_mae_tiny", "surgrec_jepa_tiny", "unisurg_tiny_stage1"} <= {
        *RECIPES
    }
    # Second phases begin with what the first ones have learned
    assert not {"surgrec_jepa_tiny_phase2", "unisurg_tiny_stage2", "surgvista_vitb"} & {*RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_all_encoders_have_one_size_and_see_the_same_clips(name: str) -> None:
    encoder = recipe(name).objective.encoder
    assert encoder.shape == (128, 4, 4, 4.0)
    assert encoder.grid == (2, 8, 8)
    assert recipe(name).data.stride == 1 and recipe(name).data.fps == 5


@pytest.mark.parametrize("name", RECIPES)
def test_a_schedule_ends_with_its_last_step(name: str) -> None:
    config = recipe(name)
    length = schedule(config, 1e12)
    lengthened = recipe(name, *length.words)
    plan = lengthened.plan(num_clips=1000, world_size=1, start=BEGINNING)

    assert plan.last_step == length.steps
    assert 0 <= length.clips - plan.total_draws < config.epochs
    # Its warm-up is the same share of the run as in the recipe
    share = config.optim.warmup_epochs / config.epochs
    assert plan.warmup_draws / plan.total_draws == pytest.approx(share, abs=2 / length.clips)

    if isinstance(config.objective, AVERAGED):
        # A moving average keeps as much of the initial weights as after the recipe's own 1,500 steps
        left = lengthened.objective.ema_decay**length.steps  # type: ignore[union-attr]
        assert left == pytest.approx(config.objective.ema_decay**1500, rel=0.01)

    if name == "vjepa21_tiny":
        # So is the growth of the weight of visible tokens, which a recipe counts in clips: one and two ninths
        context: Any = lengthened.objective.context
        ends = (context.from_clips, context.full_at_clips)
        ninths = [clips * 9 / plan.total_draws for clips in ends]
        assert ninths == pytest.approx([1, 2], abs=20 / length.clips)


@given(budget=st.floats(1e11, 1e15), name=st.sampled_from(sorted(RECIPES)))
def test_runs_are_as_near_to_the_budget_as_whole_steps_come(budget: float, name: str) -> None:
    config = recipe(name)
    length = schedule(config, budget)
    step = length.flops_per_clip * config.global_batch_size
    assert length.flops == length.steps * step
    assert abs(length.flops - budget) <= step / 2


def test_less_than_half_a_step_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"at least one step of videomae, 0\.0386 TFLOP, got 0\.01"
    ):
        schedule(recipe("surgrec_mae_tiny"), 1e10)


def test_a_teacher_is_a_run_of_another_recipe() -> None:
    key = "objective.teacher.weights"
    for run in ("runs/surgrec_mae_tiny", "runs/surgrec_mae_tiny/checkpoints/step_00002000"):
        config = recipe("surgvista_tiny", f"{key}={run}")
        assert teacher_of(config) == Teacher(recipe="surgrec_mae_tiny", key=key)
    assert teacher_of(recipe("surgvista_tiny", f"{key}=dinov3.pth")) is None
    assert not any(teacher_of(recipe(name)) for name in RECIPES if name != "salt_tiny")


def test_teacher_and_student_share_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SurgVISTA whose teacher is an encoder by SurgRec-MAE, with commands that only leave a checkpoint."""
    taught = tmp_path / "taught_tiny.yaml"
    text = RECIPES["surgvista_tiny"].read_text(encoding="utf-8")
    taught.write_text(text.replace("allow_random: true", "weights: runs/surgrec_mae_tiny"))
    mae = RECIPES["surgrec_mae_tiny"]
    monkeypatch.setattr(
        running, "presets", lambda _: {"taught_tiny": taught, "surgrec_mae_tiny": mae}
    )
    commands: list[list[str]] = []

    def leave_a_checkpoint(words: list[object], *_: object) -> None:
        commands.append([*map(str, words)])
        run_dir = next(word for word in commands[-1] if word.startswith("run_dir="))
        config = load_recipe(commands[-1][1], commands[-1][2:])
        plan = config.plan(num_clips=1000, world_size=1, start=BEGINNING)
        made = Path(run_dir.partition("=")[2]) / "checkpoints" / f"step_{plan.last_step:08d}"
        made.mkdir(parents=True)

    monkeypatch.setattr(running, "run", leave_a_checkpoint)
    places = Places(tmp_path, 1e13)
    teacher, student = pretrain(places, "taught_tiny", 0, 1e13)

    assert teacher.length.flops == pytest.approx(1e13 * TEACHER_SHARE, rel=0.01)
    assert teacher.length.flops + student.length.flops == pytest.approx(1e13, rel=0.01)
    first, second = commands
    assert first[1] == str(mae) and second[1] == str(taught)
    assert f"objective.teacher.weights={teacher.checkpoint}" in second
    # A run of the recipe for its own row is another one, with all operations
    assert places.run("surgrec_mae_tiny", 0) != teacher.folder


def test_operations_are_split_whole() -> None:
    setting = replace(SETTING, test_times=16, num_train=26, num_val=6)
    assert setting.split() | {"source": ""} == {
        "train": ["larkspur_[01-26]"],
        "val": ["larkspur_[27-32]"],
        "test": ["larkspur_[33-80]"],
        "source": "",
    }


def test_what_is_tested_on_has_no_name_of_what_is_pretrained_on() -> None:
    with pytest.raises(
        ValueError, match="num_train: expected 30 or more, 5 times train_times, got 26"
    ):
        replace(SETTING, train_times=6, num_train=26)


def test_a_folder_of_other_operations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "operations.json").write_text('{"train_times": 3}\n')
    with pytest.raises(CommandError, match=r"operations.json: expected .*'train_times': 1, .* got"):
        prepare(Places(tmp_path, 1e11), SETTING)


def test_the_effective_rank_is_that_of_all_stored_features(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(90, 12)).astype(np.float32)
    features[:, 6:] = 0.01 * features[:, :6]
    features += 20
    record = np.dtype([("row", "<i8"), ("crc32", "<u4"), ("feature", "<f4", (12,))])
    for number, part in enumerate(np.split(features, (40,))):
        stored = np.zeros(len(part), record)
        stored["feature"] = part
        path = tmp_path / "key" / "larkspur" / f"larkspur-{number:06d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, stored)

    found = rank_of(tmp_path)
    assert found["effective_rank"] == pytest.approx(slow_rank(features), rel=1e-4)
    assert found["centred_rank"] == pytest.approx(slow_rank(features - features.mean(0)), rel=1e-4)
    # A mean that is far from 0 hides the six directions from the first one
    assert found["effective_rank"] < 3 < 5 < found["centred_rank"] < 6.1
    assert (found["num_clips"], found["width"]) == (90, 12)


def slow_rank(features: npt.NDArray[np.float32]) -> float:
    """RankMe, singular value by singular value."""
    singular = np.sqrt(np.linalg.eigvalsh(features.T.astype(float) @ features).clip(0))
    entropy = 0.0
    for value in singular:
        share = value / singular.sum()
        if share > 1e-9:
            entropy -= share * math.log(share)
    return math.exp(entropy)


def row(name: str, value: float, *runs: Schedule, **more: Any) -> dict[str, Any]:
    scored = {"synth_phases": {"value": value, "low": value - 0.1, "high": value + 0.1}}
    told = [{**asdict(run), "flops": run.flops} for run in runs]
    return {"name": name, "runs": told, "tasks": scored, **more}


def test_a_table_has_intervals_ranks_and_costs_and_bold_where_a_test_says_so() -> None:
    teacher = Schedule(flops_per_clip=2_000_000, steps=10, clips=1000, words=())
    student = Schedule(flops_per_clip=4_000_000, steps=20, clips=1500, words=())
    ranks = [{"effective_rank": rank, "centred_rank": 2 * rank} for rank in (20.0, 30.0)]
    found = {
        "setting": {"seeds": [0, 1]},
        "tasks": {
            "synth_phases": {
                "metric": "phase_jaccard", "percent": True, "best": "a_tiny",
            },
            "synth_masks": {"metric": "class_iou", "percent": True, "best": ""},
        },
        "rows": [
            row("a_tiny", 0.5, teacher, student, minutes=[1.0, 2.0], ranks=ranks),
            row("random", 0.4, ranks=[]),
        ],
    }  # fmt: skip
    assert table(found).splitlines() == [
        "| encoder, 2 seeds | phases, Jaccard % | masks, IoU % | effective rank / centred "
        "| MFLOP a clip | clips | minutes |",
        "|---|--:|--:|--:|--:|--:|--:|",
        "| `a_tiny` | **50.0** [40.0, 60.0] | – | 25.0 / 50.0 | 2 + 4 | 1,000 + 1,500 | 1.5 |",
        "| random | 40.0 [30.0, 50.0] | – |  |  |  |  |",
    ]


@pytest.mark.slow
def test_a_killed_experiment_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed by SIGKILL in the middle of a run, which outlives it."""
    recipes = ["surgrec_mae_tiny", "surgvista_tiny"]
    places = Places(tmp_path, SETTING.budget)
    first = places.run("surgrec_mae_tiny", 0)
    second = places.run("surgvista_tiny", 0)

    script = (
        "from pathlib import Path\n"
        "from tests.benchmarks.test_recipes import SETTING, experiment\n"
        f"experiment(Path({str(tmp_path)!r}), SETTING, {recipes!r}, 1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2]) as killed:
        wait_for(second / "config.yaml", killed)
        os.kill(killed.pid, signal.SIGKILL)
    cells_before = ends_of(tmp_path)
    assert cells_before[first / "costs.jsonl"] == 1

    found = experiment(tmp_path, SETTING, recipes, 2)
    ends = ends_of(tmp_path)
    # Two runs and five cells, the one that was killed over among them, each ended once
    assert len(ends) == 7 and set(ends.values()) == {1}
    assert (second / "train.log").read_text().count("starting: step 0") == 1

    again = experiment(tmp_path, SETTING, recipes, 1)
    assert ends_of(tmp_path) == ends
    assert json.dumps(again) == json.dumps(found)

    names = [each["name"] for each in found["rows"]]
    assert names == [*recipes, "random", "random_rope", "pixels", "constant", "time alone"]
    for each in found["rows"][:2]:
        assert sum(run["flops"] for run in each["runs"]) == pytest.approx(1e11, rel=0.2)
        assert 1 < each["ranks"][0]["effective_rank"] < 128
    assert len(table(found).splitlines()) == 2 + 7

    # What has begun with another recipe, as of an earlier commit, is not gone on with
    (first / "config.yaml").write_text(
        (first / "config.yaml").read_text().replace("mask_ratio: 0.75", "mask_ratio: 0.5")
    )
    with pytest.raises(
        CommandError, match=r"another: objective.mask_ratio: 0.5 -> 0.75; remove it"
    ):
        experiment(tmp_path, SETTING, recipes, 1)


def ends_of(folder: Path) -> dict[Path, int]:
    """How often each run and each cell has come to an end."""
    return {path: len(path.read_text().splitlines()) for path in folder.rglob("costs.jsonl")}


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "it ended before"
        time.sleep(0.02)
