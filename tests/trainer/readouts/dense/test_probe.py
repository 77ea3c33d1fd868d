"""Dense probes of tiny encoders on a handmade corpus with layers: ranks, kills, and what is kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from surgstream.launch.__main__ import main
from surgstream.trainer.runs.costs import ENCODER
from tests.helpers.handmade import HEIGHT, WIDTH
from tests.helpers.ranks import finish, kill, wait_for
from tests.trainer.readouts.dense import made_up
from tests.trainer.readouts.dense.made_up import (
    CASES,
    NUM_FRAMES,
    SPLITS,
    begin,
    done,
    log_of,
    newest_step,
    truth,
)

pytestmark = pytest.mark.slow

LONG = ("linear_mask", "dpt_depth")
"""Cases that are trained for long enough to learn something: each kind of head, and each kind of truth."""

Pictures = dict[str, npt.NDArray[np.float64]]
Undisturbed = Callable[[str], tuple[Path, Pictures]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("patches")
    made_up.make(root)
    return root


@pytest.fixture(scope="module")
def undisturbed(root: Path) -> Undisturbed:
    """Runs of one rank from beginning to end, one of a case."""
    runs: dict[str, tuple[Path, Pictures]] = {}

    def run(name: str) -> tuple[Path, Pictures]:
        if name not in runs:
            run_dir = root / "undisturbed" / name
            runs[name] = (run_dir, done(root, name, run_dir, 1))
        return runs[name]

    return run


@pytest.mark.parametrize("name", CASES)
def test_neither_ranks_nor_micro_batches_decide_what_is_learned(
    name: str, root: Path, tmp_path: Path
) -> None:
    # Few steps, as sums in another order become other heads in the end
    short = "epochs=3"
    one = done(root, name, tmp_path / "one", 1, short)
    others = [done(root, name, tmp_path / "ranks", 2, short, "micro_batch_size=4")]
    if name == "dpt_depth":
        others.append(done(root, name, tmp_path / "batches", 1, short, "micro_batch_size=8"))
    for two in others:
        assert one.keys() == two.keys() == {*SPLITS["test"]}
        for video, pictures in one.items():
            assert pictures.shape == (NUM_FRAMES, HEIGHT, WIDTH)
            assert abs(pictures - two[video]).max() <= CASES[name].tolerance, video


@pytest.mark.parametrize("name", LONG)
def test_what_is_true_is_learned(name: str, undisturbed: Undisturbed) -> None:
    _, found = undisturbed(name)
    for video, predicted in found.items():
        if CASES[name].space.kind == "mask":
            is_true = truth(made_up.mask, video) > 0
            is_predicted = predicted > 0.5
            common = (is_predicted & is_true).sum()
            assert 2 * common / (is_predicted.sum() + is_true.sum()) > 0.6
        else:
            # Of relief, as a plane of one distance has none
            true = truth(made_up.depth, video) / 100
            known = true > 0
            assert np.corrcoef(predicted[known], true[known])[0, 1] > 0.6


@pytest.mark.parametrize("name", LONG)
def test_a_killed_probe_goes_on_as_if_it_had_not_been(
    name: str, root: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    whole, _ = undisturbed(name)
    killed = tmp_path / "killed"
    ranks = begin(root, name, killed, 1, "save_every_minutes=0.001")
    # After a validation, so that a head is kept
    wait_for(lambda: newest_step(killed) > 9 or not ranks[0].is_alive())
    assert kill(ranks) == [-9], log_of(killed)

    done(root, name, killed, 1)
    assert "resuming from" in log_of(killed)
    assert made_up.test_file(killed).read_bytes() == made_up.test_file(whole).read_bytes()


def test_what_is_there_stays_and_is_scored(
    root: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = undisturbed("linear_mask")
    file = made_up.test_file(run_dir)
    kept = (file, run_dir / ENCODER)
    before = [path.stat().st_mtime_ns for path in kept]
    assert finish(begin(root, "linear_mask", run_dir, 1)) == [0]
    assert [path.stat().st_mtime_ns for path in kept] == before

    task = root / "linear_mask.task.yaml"
    assert main(["evaluate", str(task), str(file), "--corpus", str(root / "shards")]) == 0
    assert "dice" in capsys.readouterr().out


def test_ranks_and_kills_change_nothing_where_steps_draw_sizes(root: Path, tmp_path: Path) -> None:
    """Each size of an untrained transformer has other tokens, so another draw would show."""
    words = ("encoder.interpolate=true", "epochs=4", "validate_every_epochs=2")
    sizes = "readout.image_scales=[0.5, 1, 1.5]"
    one = done(root, "dpt_mask", tmp_path / "one", 1, *words)
    whole = done(root, "dpt_mask", tmp_path / "whole", 1, *words, sizes)

    run_dir = tmp_path / "killed"
    ranks = begin(root, "dpt_mask", run_dir, 2, *words, sizes, "save_every_minutes=0.001")
    wait_for(lambda: any((run_dir / "checkpoints").glob("step_*")))
    kill(ranks)

    resumed = done(root, "dpt_mask", run_dir, 2, *words, sizes)
    for video, pictures in whole.items():
        assert abs(pictures - resumed[video]).max() <= CASES["dpt_mask"].tolerance
    assert max(abs(one[video] - whole[video]).max() for video in one) > 10 / 255


def test_a_readout_of_rows_is_refused(root: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "rows"
    assert finish(begin(root, "linear_mask", run_dir, 1, "readout={name: linear}")) != [0]
    assert "readout: expected dense_linear or dense_dpt" in log_of(run_dir)
