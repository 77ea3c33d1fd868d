"""Probes of a stand-in encoder on a tiny corpus: ranks, kills, choices, and what is kept of them."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from surgstream.launch.__main__ import main
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from tests.helpers.ranks import finish, kill, wait_for
from tests.trainer.readouts.banks.made_up import NUM_FRAMES, SPLITS, begin, make

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made_up")
    make(root)
    return root


def done(root: Path, run_dir: Path, world_size: int, *overrides: str) -> Predictions:
    """Run a probe to its end; what it predicted on test."""
    statuses = finish(begin(root, run_dir, world_size, *overrides))
    assert statuses == [0] * world_size, log_of(run_dir)
    return read_predictions(run_dir / "predictions" / "test.npz")


def log_of(run_dir: Path) -> str:
    return run_dir.with_suffix(".log.rank0").read_text()


def scores(predictions: Predictions) -> dict[str, Any]:
    return {
        video: found.scores if found.scores is not None else found.predicted
        for video, found in predictions.videos.items()
    }


def assert_alike(one: Predictions, other: Predictions, tolerance: float) -> None:
    assert one.videos.keys() == other.videos.keys() == {*SPLITS["test"]}
    for video, values in scores(one).items():
        difference = abs(values - scores(other)[video]).max()
        assert difference <= tolerance, video


@pytest.mark.parametrize("readout", ["attentive", "linear"])
def test_two_ranks_are_one(root: Path, tmp_path: Path, readout: str) -> None:
    linear = ("readout={name: linear}", "clips.balance=classes", "data.audit_log=true")
    overrides = () if readout == "attentive" else linear
    one = done(root, tmp_path / "one", 1, *overrides)
    two = done(root, tmp_path / "two", 2, *overrides)
    assert_alike(one, two, 1e-5)
    assert all(len(found.seconds) == NUM_FRAMES for found in one.videos.values())

    grids = [json.loads((tmp_path / name / "grid.json").read_text()) for name in ("one", "two")]
    assert grids[0]["chosen"]["head"] == grids[1]["chosen"]["head"]
    assert grids[0]["chosen"]["score"] > 0.6  # of three classes


def test_a_probe_that_is_killed_again_and_again_is_the_same_in_the_end(
    root: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    expected = done(root, whole, 1)

    broken = tmp_path / "broken"
    often = ("save_every_minutes=0.001",)
    for least in (1, 6):
        ranks = begin(root, broken, 1, *often)
        wait_for(lambda least=least: newest_step(broken) >= least)  # type: ignore[misc]
        kill(ranks)
    before = newest_step(broken)
    ranks = begin(root, broken, 1, *often)
    wait_for(lambda: newest_step(broken) > before)
    for rank in ranks:
        assert rank.pid
        os.kill(rank.pid, signal.SIGTERM)
    assert finish(ranks) == [0]
    assert (broken / "REQUEUE").exists()

    found = done(root, broken, 1, *often)
    assert_alike(expected, found, 0.0)
    assert dict(found.about) == dict(expected.about)
    theirs, ours = (load_file(folder / "head.safetensors") for folder in (whole, broken))
    assert all((theirs[name] == ours[name]).all() for name in theirs)
    for name in ("grid.json", "test_all.json"):
        assert (whole / name).read_text() == (broken / name).read_text()


def newest_step(run_dir: Path) -> int:
    found = sorted(run_dir.glob("checkpoints/step_*"))
    return int(found[-1].name.removeprefix("step_")) if found else -1


def refused(root: Path, run_dir: Path, *overrides: str) -> str:
    """Run a probe that cannot be; what it says."""
    statuses = finish(begin(root, run_dir, 1, *overrides))
    assert statuses != [0]
    return log_of(run_dir)


def test_what_is_kept_of_a_run(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    found = done(root, run_dir, 1, "epochs=2", "clips.view=three_crops")
    assert found.about["lr"] in (1e-2, 1e-3) and found.about["val_score"] is not None

    # Every head's validation and test, and the best by the test itself
    grid = json.loads((run_dir / "grid.json").read_text())
    all_heads = json.loads((run_dir / "test_all.json").read_text())
    assert [len(row["scores"]) for row in grid["validations"]] == [4]
    assert len(all_heads["heads"]) == 4
    assert all_heads["best_on_test"]["score"] == max(
        [all_heads["chosen"]["score"], *(head["score"] for head in all_heads["heads"])]
    )
    val = read_predictions(run_dir / "predictions" / "val.npz")
    assert val.videos.keys() == {*SPLITS["val"]}

    # The same numbers by the command that scores predictions
    task = ["evaluate", str(root / "phases.yaml"), str(run_dir / "predictions" / "test.npz")]
    assert main([*task, "--labels", str(root / "labels")]) == 0
    assert f"| {100 * all_heads['chosen']['score']:.1f} [" in capsys.readouterr().out

    assert main(["status", str(run_dir)]) == 0
    assert "step 18 of 18" in capsys.readouterr().out

    # Asked once: another start changes nothing
    before = (run_dir / "predictions" / "test.npz").stat().st_mtime_ns
    done(root, run_dir, 1, "epochs=2", "clips.view=three_crops")
    assert (run_dir / "predictions" / "test.npz").stat().st_mtime_ns == before
    assert "was tested" in log_of(run_dir)

    # Another recipe is another run
    said = refused(root, run_dir, "epochs=3", "clips.view=three_crops", "seed=1")
    assert "epochs: 2.0 -> 3.0" in said and "seed: 0 -> 1" in said and "another run_dir" in said


def test_heads_that_diverge_are_dropped_and_told(root: Path, tmp_path: Path) -> None:
    grid = "readout.grid={lrs: [0.01, 1000.0], weight_decays: [0.01, 1000.0]}"
    run_dir = tmp_path / "run"
    done(root, run_dir, 2, grid, "epochs=8")
    log = log_of(run_dir)
    assert "head 3 (lr 1000, weight decay 1000) diverged at step" in log
    saved = json.loads((run_dir / "grid.json").read_text())
    assert saved["chosen"]["head"] == 0
    assert [head["dropped_at"] is None for head in saved["heads"]] == [True, False, False, False]
    assert saved["validations"][-1]["scores"][1:] == [None] * 3

    grid = "readout.grid={lrs: [1000.0], weight_decays: [1000.0]}"
    said = refused(root, tmp_path / "none", grid)
    assert "all 1 heads diverged" in said and "lower readout.grid.lrs" in said


def test_a_task_without_validation_videos_takes_one_head(root: Path, tmp_path: Path) -> None:
    task = f"task={root / 'unchosen.yaml'}"
    said = refused(root, tmp_path / "many", task)
    assert "no validation videos to choose by, got 4" in said
    grid = "readout.grid={lrs: [0.01], weight_decays: [0.1]}"
    found = done(root, tmp_path / "one", 1, task, grid, "epochs=1")
    assert found.about["lr"] == 0.01 and "val_score" not in found.about


def test_numbers_are_predicted_in_their_own_unit(root: Path, tmp_path: Path) -> None:
    task = (f"task={root / 'skill.yaml'}", "clips_per_epoch=8", "global_batch_size=4")
    found = done(root, tmp_path / "run", 2, *task, "test_all=false")
    assert not (tmp_path / "run" / "test_all.json").exists()
    for video in found.videos.values():
        assert video.predicted is not None and video.predicted.shape == (1,)
        assert 95 <= video.predicted[0] <= 110


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.stride=2", "clips.stride instead"),
        ("readout.num_heads=5", "a divisor of the tokens' width 32, got 5"),
        ("readout.grid.lrs=[0.1, 0.1]", "each once"),
        ("clips.balance=some", "clips.balance"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    root: Path, tmp_path: Path, override: str, sentence: str
) -> None:
    assert sentence in refused(root, tmp_path / "run", override)


def test_a_damaged_state_is_passed_over(root: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    expected = done(root, tmp_path / "whole", 1)
    ranks = begin(root, run_dir, 1, "save_every_minutes=0.001")
    wait_for(lambda: len(list(run_dir.glob("checkpoints/step_*"))) == 2)
    kill(ranks)
    newest = run_dir / "checkpoints" / f"step_{newest_step(run_dir):08d}"
    file = newest / "rank00000-000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert_alike(expected, done(root, run_dir, 1), 0.0)
    assert "skipped checkpoint" in log_of(run_dir)
