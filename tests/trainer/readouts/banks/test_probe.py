"""Probes of a stand-in encoder on a tiny corpus: ranks, kills, choices, and what is kept of them."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

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
    overrides = () if readout == "attentive" else ("readout={name: linear}",)
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
    for least in (1, 12):
        ranks = begin(root, broken, 1, *often)
        wait_for(lambda least=least: newest_step(broken) >= least)  # type: ignore[misc]
        kill(ranks)
    ranks = begin(root, broken, 1, *often)
    wait_for(lambda: newest_step(broken) > 14)
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
