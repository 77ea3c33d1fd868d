"""Whole runs on two ranks, one of which is told to stop, hangs, is killed or asked what it does."""

import gzip
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgstream.launch.__main__ import main
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.runs.files import FAILED, REQUEUE, read_mark
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import (
    audit,
    begin,
    interrupt,
    log,
    losses,
    metrics,
    newest,
    planned,
    reported,
    train,
    words,
)
from tests.helpers.ranks import finish, kill, start_ranks, surgstream, wait_for

HOST = platform.node()


@pytest.fixture(scope="module")
def whole(
    corpora: Corpora, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[float, ...]]:
    """The losses of an uninterrupted run on 2 ranks."""
    return losses(train(corpora, tmp_path_factory.mktemp("whole") / "run", 2))


def goes_on(corpora: Corpora, run_dir: Path, whole: dict[int, tuple[float, ...]]) -> None:
    """Started again, the run ends as if it had never been told to stop."""
    assert losses(train(corpora, run_dir, 2)) == whole
    assert audit(run_dir) == planned(corpora, run_dir, 20 * 16, 2)
    assert read_mark(run_dir, REQUEUE) is None
    assert not list((run_dir / "stacks").iterdir()), "nothing hung"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_one_rank_is_told_and_all_stop_after_the_same_step(
    number: signal.Signals, corpora: Corpora, whole: dict[int, tuple[float, ...]], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    ranks = begin(corpora, run_dir, 2, "checkpoint.every_steps=1000")
    wait_for(reported(run_dir, 6))
    os.kill(ranks[1].pid or 0, number)
    assert finish(ranks) == [0, 0], log(run_dir)

    checkpoint = newest(run_dir)
    assert checkpoint
    step = read_progress(checkpoint).step
    assert 6 <= step < 20 and metrics(run_dir)[-1]["step"] == step
    assert audit(run_dir) == planned(corpora, run_dir, step * 16, 2), "neither rank went further"
    why = f"{number.name} on rank 1 ({HOST}); checkpoint of step {step}"
    assert read_mark(run_dir, REQUEUE) == why and f"stopped: {why}" in log(run_dir)
    goes_on(corpora, run_dir, whole)


def save_for_ever(arguments: list[str]) -> None:
    """Run, and never come back from saving."""
    pytest.MonkeyPatch().setattr(
        "surgstream.trainer.engine.loop.save_checkpoint", lambda *_: time.sleep(600)
    )
    surgstream(arguments, arguments.pop())


@pytest.mark.parametrize(
    "second", [signal.SIGINT, signal.SIGTERM], ids=["from the terminal", "from torchrun"]
)
def test_ctrl_c_again_ends_at_once(
    second: signal.Signals, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    arguments = [
        "pretrain",
        *words(corpora, run_dir, "checkpoint.every_steps=1000"),
        str(run_dir.with_suffix(".log")),
    ]
    ranks = start_ranks(save_for_ever, 1, (arguments,))
    wait_for(reported(run_dir, 2))
    for number, answer in (
        (signal.SIGINT, "Ctrl-C again ends at once"),
        (second, "interrupted again: ends at once"),
    ):
        os.kill(ranks[0].pid or 0, number)
        wait_for(lambda answer=answer: answer in log(run_dir))  # type: ignore[misc]
    assert finish(ranks, timeout_seconds=60) == [130]
    assert newest(run_dir) is None and read_mark(run_dir, REQUEUE) is None
    assert train(corpora, run_dir, 1)[-1]["step"] == 20, "nobody owns its run directory"


def test_a_run_that_saves_by_minutes_goes_on_from_there(
    corpora: Corpora, whole: dict[int, tuple[float, ...]], tmp_path: Path
) -> None:
    run_dir, by_minutes = (
        tmp_path / "run",
        ("checkpoint.every_steps=null", "checkpoint.every_minutes=0.002"),
    )
    interrupt(corpora, run_dir, 2, lambda: newest(run_dir) is not None, *by_minutes)
    checkpoint = newest(run_dir)
    assert checkpoint and 0 < read_progress(checkpoint).step < 20

    assert losses(train(corpora, run_dir, 2, "checkpoint.every_steps=null")) == whole
    assert f"resuming from {checkpoint}: step {read_progress(checkpoint).step}" in log(run_dir)
    assert newest(run_dir) == run_dir / "checkpoints" / "step_00000020", (
        "the end is saved, whatever the minutes"
    )


@pytest.mark.parametrize(
    ("place", "where", "saved"),
    [
        ("surgstream.trainer.session.process.join", "no step was done", []),
        ("surgstream.trainer.commands.pretrain.order_from", "no step was done", []),
        (
            "surgstream.trainer.engine.loop.save_checkpoint",
            "checkpoint of step 4",
            ["step_00000004"],
        ),
    ],
    ids=["before it joins", "before its first step", "during a save"],
)
def test_a_rank_is_told_at_an_awkward_time(
    place: str,
    where: str,
    saved: list[str],
    corpora: Corpora,
    whole: dict[int, tuple[float, ...]],
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    assert finish(start_ranks(train_and_be_told, 2, (words(corpora, run_dir), place))) == [0, 0]
    assert read_mark(run_dir, REQUEUE) == f"SIGUSR1 on rank 1 ({HOST}); {where}"
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == saved
    assert (run_dir / "train.log").read_text().count("INFO saved ") == len(saved), (
        "what is saved is not saved again"
    )
    goes_on(corpora, run_dir, whole)


def train_and_be_told(arguments: list[str], place: str) -> None:
    """Run; a signal comes to rank 1 each time it enters a function."""
    module, _, function = place.rpartition(".")
    original: Callable[..., Any] = getattr(sys.modules[module], function)

    def entered(*arguments: Any, **settings: Any) -> Any:
        os.kill(os.getpid(), signal.SIGUSR1)
        return original(*arguments, **settings)

    if os.environ["RANK"] == "1":
        pytest.MonkeyPatch().setattr(place, entered)
    sys.exit(main(["pretrain", *arguments]))


def test_a_rank_that_hangs_ends_the_others_which_write_their_stacks(
    corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    ranks = begin(corpora, run_dir, 2, "parallel.timeout_seconds=5")
    wait_for(reported(run_dir, 6))
    os.kill(ranks[1].pid or 0, signal.SIGSTOP)
    wait_for(lambda: not ranks[0].is_alive(), timeout_seconds=30)
    assert kill(ranks) == [1, -9]
    stacks = (run_dir / "stacks" / "rank00000.txt").read_text()
    assert stacks.startswith("Timeout")
    assert "trainer/engine/loop.py" in stacks and "trainer/data/loader.py" in stacks, (
        "of all threads"
    )
    assert read_mark(run_dir, REQUEUE) is None and read_mark(run_dir, FAILED) is None


def hang_where_ranks_meet(arguments: list[str]) -> None:
    """Run, and never come back from joining the others."""
    pytest.MonkeyPatch().setattr(
        "surgstream.trainer.session.process.join", lambda *_: time.sleep(60)
    )
    sys.exit(main(["pretrain", *arguments]))


def test_a_rank_that_hangs_where_it_meets_the_others_ends_and_writes_its_stacks(
    corpora: Corpora, tmp_path: Path
) -> None:
    arguments = words(corpora, tmp_path / "run", "parallel.timeout_seconds=1")
    assert finish(start_ranks(hang_where_ranks_meet, 1, (arguments,)), timeout_seconds=30) == [1]
    assert "hang_where_ranks_meet" in (tmp_path / "run" / "stacks" / "rank00000.txt").read_text()


def test_a_rank_that_is_killed_ends_the_others_at_once_and_the_run_may_go_on(
    corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    ranks = begin(corpora, run_dir, 2)
    wait_for(reported(run_dir, 6))
    ranks[1].kill()
    assert finish(ranks, timeout_seconds=30) == [1, -9]
    assert "another rank has ended" in log(run_dir)
    assert read_mark(run_dir, REQUEUE) is None and read_mark(run_dir, FAILED) is None


def test_asked_with_sigusr2_a_rank_tells_what_it_does_and_goes_on(
    corpora: Corpora, whole: dict[int, tuple[float, ...]], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    ranks = begin(corpora, run_dir, 2)
    wait_for(reported(run_dir, 3))
    os.kill(ranks[1].pid or 0, signal.SIGUSR2)
    assert finish(ranks) == [0, 0], log(run_dir)
    assert losses(metrics(run_dir)) == whole
    (profile,) = (run_dir / "profiles").iterdir()
    assert profile.name.startswith("step_000000") and profile.name.endswith("_rank00001.json.gz")
    events = json.loads(gzip.decompress(profile.read_bytes()))["traceEvents"]
    assert any(event["name"] == "aten::scaled_dot_product_attention" for event in events)
    (stacks,) = (run_dir / "stacks").iterdir()
    assert stacks.name == "rank00001.txt" and "trainer/data/loader.py" in stacks.read_text()
