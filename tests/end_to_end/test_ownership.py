"""One run in one directory: a second start touches nothing of the first, and ranks end with what has started them."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.runs.files import FAILED, REQUEUE, read_mark
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import (
    audit,
    begin,
    fail,
    log,
    metrics,
    newest,
    planned,
    reported,
    train,
    words,
)
from tests.helpers.packing import ROOT
from tests.helpers.ranks import finish, kill, wait_for

NO_TEACHER = "objective.teacher.weights=nowhere.pth"
ENDLESS = ("max_steps=100000", "epochs=100000", "checkpoint.every_steps=1000")


def test_a_second_start_is_refused_and_the_first_one_goes_on(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    first = begin(corpora, run_dir, 2)
    wait_for(reported(run_dir, 4))
    monkeypatch.setenv("SURGSTREAM_REFUSALS", str(tmp_path / "refused"))
    (tmp_path / "second").mkdir()
    second = begin(corpora, tmp_path / "second" / "run", 2, f"run_dir={run_dir}")
    second[0].join(60)
    assert 0 not in kill(second), (
        "rank 0 is refused; the others wait for it until their launcher ends them"
    )
    told = log(tmp_path / "second" / "run")
    (line,) = [line for line in told.splitlines() if "ERROR" in line]
    assert (
        f"{run_dir}: expected nobody else to write there, got training on {platform.node()} (process "
        in line
    )
    assert (
        "; wait for its end or stop it, or choose another place" in line and "Traceback" not in told
    )
    assert "expected nobody else to write there" in (tmp_path / "refused").read_text(), (
        "the job need not come again"
    )

    assert finish(first) == [0, 0], log(run_dir)
    assert [line["step"] for line in metrics(run_dir)] == list(range(1, 21))
    assert audit(run_dir) == planned(corpora, run_dir, 20 * 16, 2), "nothing of its logs was cut"
    assert read_mark(run_dir, FAILED) is None and not list((run_dir / "stacks").iterdir())
    assert not list(run_dir.glob("REFUSED*"))
    assert not list((run_dir / ".owner").iterdir())


def test_a_start_that_would_fail_leaves_no_mark_on_a_sound_run(
    corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    first = begin(corpora, run_dir, 1, *ENDLESS)
    wait_for(reported(run_dir, 2))
    told = fail(corpora, tmp_path / "second", 1, f"run_dir={run_dir}", NO_TEACHER)
    assert "expected nobody else to write there" in told and read_mark(run_dir, FAILED) is None
    kill(first)
    told = fail(corpora, run_dir, 1, NO_TEACHER)
    assert "nowhere.pth" in (read_mark(run_dir, FAILED) or ""), told


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "end of the launcher on rank "), (signal.SIGINT, "SIGINT on rank ")],
)
def test_ranks_end_with_a_launcher_that_is_killed_or_interrupted_and_the_run_goes_on(
    number: signal.Signals, why: str, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "surgstream",
    ]
    with (tmp_path / "output").open("w") as output:
        launcher = subprocess.Popen(
            [*torchrun, "pretrain", *words(corpora, run_dir, *ENDLESS)],
            cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            wait_for(reported(run_dir, 4))
            ranks = psutil.Process(launcher.pid).children()
            assert len(ranks) == 2
            launcher.send_signal(number)
            launcher.wait(60)
        finally:
            # One that never got so far must not train on for ever; its ranks end with it.
            launcher.kill()
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert not alive
    checkpoint = newest(run_dir)
    assert checkpoint
    step = read_progress(checkpoint).step
    assert step >= 4 and (read_mark(run_dir, REQUEUE) or "").startswith(why)
    assert audit(run_dir) == planned(corpora, run_dir, step * 16, 2), (
        "both ended after the same step"
    )
    train(corpora, run_dir, 2, f"max_steps={step + 2}", "epochs=100000")
    assert audit(run_dir) == planned(corpora, run_dir, (step + 2) * 16, 2)
