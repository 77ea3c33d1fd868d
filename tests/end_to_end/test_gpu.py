"""Runs on one GPU: NCCL, bf16, decoding on the GPU, and what is left behind when the GPU hangs.

Each is a process started anew: a fork cannot use a GPU that its parent has looked at.
"""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.runs.files import FAILED, REQUEUE, read_mark
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import OTHERS, RECIPE, metrics, newest, reported, words
from tests.helpers.ranks import wait_for

pytestmark = pytest.mark.gpu

ON_GPU = ("data.decode.device=gpu", "parallel.autocast=bf16")
ENDLESS = ("epochs=100000", "max_steps=1000000", "checkpoint.every_steps=1000000")

HANG = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.joining import join
from surgstream.trainer.engine.profile import record_flights
from surgstream.trainer.engine.guards.watchdog import Watchdog

run_dir = Path(sys.argv[1])
watchdog = Watchdog(20)
watchdog.write_to(run_dir / "stacks" / "rank00000.txt")
record_flights(run_dir, RankInfo())
join(RankInfo(), 20)
values = torch.ones(4, device="cuda")
dist.all_reduce(values)
torch.cuda.synchronize()
if sys.argv[2] == "watched":
    watchdog.beat()
torch.cuda._sleep(10**11)  # a minute
dist.all_reduce(values)
torch.cuda.synchronize()
"""


@contextmanager
def running(
    command: list[str], corpora: Corpora, run_dir: Path, *overrides: str, recipe: str = RECIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A command on the recipe, which must end well and is killed if it does not end."""
    arguments = [
        sys.executable,
        "-m",
        "surgstream",
        *command,
        *words(corpora, run_dir, *ON_GPU, *overrides, recipe=recipe),
    ]
    with printed(run_dir).open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
        assert process.wait(120) == 0, printed(run_dir).read_text()
    finally:
        process.kill()
        process.wait()


def run(
    command: list[str], corpora: Corpora, run_dir: Path, *overrides: str, recipe: str = RECIPE
) -> str:
    """Run a command on the recipe; returns what it printed."""
    with running(command, corpora, run_dir, *overrides, recipe=recipe):
        pass
    return printed(run_dir).read_text()


def printed(run_dir: Path) -> Path:
    return run_dir.with_suffix(".log")


def flights(run_dir: Path) -> list[dict[str, Any]]:
    """The collectives in a flight record, oldest first."""
    entries: list[dict[str, Any]] = pickle.loads(
        (run_dir / "flight_recorder" / "rank0").read_bytes()
    )["entries"]
    return entries


def test_preflight(corpora: Corpora, tmp_path: Path) -> None:
    output = run(["preflight"], corpora, tmp_path / "run")
    assert output.splitlines()[-1] == "go", output
    assert (
        "1 node, 1 rank: NVIDIA" in output
        and "NCCL 2." in output
        and "driver unknown" not in output
    )
    assert "connections and speeds" in output and "TFLOP/s a GPU" in output


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_run_learns_and_tells_what_the_gpu_does(
    stage: int, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    run(["pretrain", "--preflight"], corpora, run_dir, f"parallel.zero_stage={stage}")
    lines = metrics(run_dir)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert lines[-1]["loss/total"] < lines[0]["loss/total"]
    for line in lines:
        parts = [
            line[f"time/{part}_seconds"] for part in ("targets", "forward", "backward", "optimizer")
        ]
        assert min(parts) > 0 and line["memory/gpu_gib"] > 0
        assert line["energy/joules_per_clip"] >= 0, "NVML's counter moves a few times a second"
    assert json.loads((run_dir / "environment.json").read_text())["device"].startswith("NVIDIA")


@pytest.mark.parametrize("recipe", OTHERS)
def test_the_other_recipes_learn_compiled_and_are_watched(
    recipe: str, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    looks = ("compile=true", "metrics.collapse_every_steps=10", "metrics.pictures_every_steps=20")
    run(["pretrain"], corpora, run_dir, *looks, recipe=recipe)
    losses = [line["loss/total"] for line in metrics(run_dir) if "loss/total" in line]
    assert len(losses) == 20 and losses[-1] < losses[0]
    assert (
        len([line for line in metrics(run_dir) if any("effective_rank" in key for key in line)])
        == 2
    )
    assert (run_dir / "pictures" / "step_00000020.png").exists()


def test_asked_it_writes_a_trace_and_its_collectives_and_told_it_stops_and_goes_on(
    corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    with running(["pretrain"], corpora, run_dir, *ENDLESS) as process:
        wait_for(reported(run_dir, 6))
        process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "_rank00000.json.gz" in printed(run_dir).read_text())
        process.send_signal(signal.SIGUSR1)

    (profile,) = (run_dir / "profiles").iterdir()
    events = json.loads(gzip.decompress(profile.read_bytes()))["traceEvents"]
    kernels = [event["name"].lower() for event in events if event.get("cat") == "kernel"]
    assert any("bf16" in name or "bfloat16" in name for name in kernels)
    assert {entry["profiling_name"] for entry in flights(run_dir)} >= {"nccl:all_reduce"}
    assert "in main" in (run_dir / "stacks" / "rank00000.txt").read_text()
    checkpoint = newest(run_dir)
    assert checkpoint
    step = read_progress(checkpoint).step
    assert (read_mark(run_dir, REQUEUE) or "").endswith(f"checkpoint of step {step}")

    run(["pretrain"], corpora, run_dir, *ENDLESS, f"max_steps={step + 3}")
    assert [line["step"] for line in metrics(run_dir)] == list(range(1, step + 4))
    assert read_mark(run_dir, REQUEUE) is None and read_mark(run_dir, FAILED) is None


@pytest.mark.parametrize(
    ("watched", "status", "stacks"),
    [("watched", 1, "Timeout"), ("not watched", -signal.SIGABRT, "Fatal Python error: Aborted")],
)
def test_a_gpu_that_hangs_leaves_the_collectives_and_the_stacks(
    watched: str, status: int, stacks: str, tmp_path: Path
) -> None:
    brief = {
        **os.environ,
        "TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC": "2000",
    }  # NCCL aborts four times later
    ended = subprocess.run(
        [sys.executable, "-c", HANG, str(tmp_path), watched], env=brief, timeout=100, check=False
    )
    assert ended.returncode == status
    assert (tmp_path / "stacks" / "rank00000.txt").read_text().startswith(stacks)
    last = flights(tmp_path)[-1]
    assert last["profiling_name"] == "nccl:all_reduce" and last["state"] != "completed"
