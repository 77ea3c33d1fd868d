import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from launch.__main__ import main

RECIPE = "configs/pretrain/surgvista_tiny.yaml"


def test_one_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "torchrun", RECIPE, "--nproc-per-node", "2", "--dry-run", "max_steps=4"]) == 0
    assert capsys.readouterr().out == (
        "torchrun --standalone --nnodes=1 --nproc-per-node=2 --max-restarts=0 "
        f"-m launch pretrain --preflight {RECIPE} max_steps=4\n"
    )


def test_many_nodes_meet_at_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["launch", "torchrun", RECIPE, "run_dir=runs/a", "micro_batch_size=1", "--nproc-per-node=8", "--nnodes=2"]
    assert main([*words, "--rdzv-endpoint=node1:29500", "--dry-run"]) == 0
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=node1:29500", "--rdzv-id=surgstream-a"]
    assert shlex.split(capsys.readouterr().out)[1:4] == meeting
    with pytest.raises(SystemExit):
        main([*words, "--dry-run"])
    assert "--nnodes: expected --rdzv-endpoint HOST:PORT beside it" in capsys.readouterr().err


def test_ranks_are_counted_before_they_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "torchrun", RECIPE, "--nproc-per-node=3", "--dry-run"]) == 2
    assert "micro_batch_size x world_size = 8 x 3" in capsys.readouterr().err


def test_gpus_are_counted_by_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf 'GPU 0: H800 (a)\\nGPU 1: H800 (b)\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert main(["launch", "torchrun", RECIPE, "--dry-run"]) == 0
    assert "--nproc-per-node=2 " in capsys.readouterr().out


def test_the_script_becomes_torchrun_which_outlives_its_workers_signals(tmp_path: Path) -> None:
    """A torchrun that says what it was given, and lives through the signals that its workers are to get."""
    fake = tmp_path / "torchrun"
    fake.write_text('#!/bin/sh\nkill -USR1 $$ && kill -USR2 $$ && echo "$$ $@"\n')
    fake.chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ["launch/torchrun.sh", RECIPE, "--nproc-per-node=2"]
    with subprocess.Popen(words, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True) as script:
        said, _ = script.communicate(timeout=60)
    assert script.returncode == 0
    assert said.split()[0] == str(script.pid), "no process stands between the launcher and torchrun"
    assert said.split()[-2:] == ["--preflight", RECIPE]


def test_without_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["launch", "torchrun", RECIPE]) == 1
    assert "torchrun: not found; activate the environment" in capsys.readouterr().err
