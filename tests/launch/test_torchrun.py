import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from surgstream.launch.torchrun import num_visible

RECIPE = "configs/pretrain/surgvista_tiny.yaml"


def test_one_node(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgstream.launch.submit.num_gpus", lambda: 4)
    assert (
        main(["launch", "torchrun", RECIPE, "--nproc-per-node", "2", "--dry-run", "max_steps=4"])
        == 0
    )
    assert capsys.readouterr().out == (
        f"env PYTHONSAFEPATH=1 SURGSTREAM_GPUS_PER_NODE=4 {sys.executable} -m torch.distributed.run "
        "--standalone --nnodes=1 --nproc-per-node=2 "
        f"--max-restarts=0 -m surgstream pretrain --preflight {RECIPE} max_steps=4\n"
    )


def test_many_nodes_meet_at_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "launch",
        "torchrun",
        RECIPE,
        "run_dir=runs/a",
        "micro_batch_size=1",
        "--nproc-per-node=8",
        "--nnodes=2",
    ]
    assert main([*words, "--rdzv-endpoint=node1:29500", "--dry-run"]) == 0
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=node1:29500", "--rdzv-id=surgstream-a"]
    assert shlex.split(capsys.readouterr().out)[6:9] == meeting
    with pytest.raises(SystemExit):
        main([*words, "--dry-run"])
    assert "--nnodes: expected --rdzv-endpoint HOST:PORT as well" in capsys.readouterr().err


def test_ranks_are_counted_before_they_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "torchrun", RECIPE, "--nproc-per-node=3", "--dry-run"]) == 2
    assert "micro_batch_size x world_size = 8 x 3" in capsys.readouterr().err


LISTING = """\
GPU 0: NVIDIA H800 (UUID: GPU-aa11)
GPU 1: NVIDIA H800 (UUID: GPU-aa22)
GPU 2: NVIDIA H800 (UUID: GPU-bb33)
  MIG 1g.10gb     Device  0: (UUID: MIG-c1)
  MIG 1g.10gb     Device  1: (UUID: MIG-c2)
"""


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3), ("", 0), ("0", 1), ("0,1", 2), (" 2 , 0 ", 2), ("0,1,2,3", 3), ("NoDevFiles", 0), ("-1", 0),
        ("0,-1,1", 1), ("3,0", 0), ("0,0", 0), ("GPU-aa11,GPU-bb33", 2), ("GPU-bb", 1), ("GPU-aa", 0), ("GPU-zz", 0),
        ("GPU-aa22,GPU-aa", 1), ("MIG-c2", 1), ("MIG-c1,MIG-c2", 1), ("MIG-zz", 0), ("all", 0), ("\u0661", 0),
    ],
)  # fmt: skip
def test_gpus_are_counted_as_cuda_shows_them(visible: str | None, count: int) -> None:
    assert num_visible(LISTING, visible) == count


def test_ranks_are_as_many_as_gpus_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<END\n{LISTING}END\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for visible, gpus, ranks in (("2,1", 2, 2), ("", 0, 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert main(["launch", "torchrun", RECIPE, "--dry-run"]) == 0
        line = capsys.readouterr().out
        assert f"--nproc-per-node={ranks} " in line
        assert f"SURGSTREAM_GPUS_PER_NODE={gpus} " in line


@pytest.mark.parametrize("said", ["NVIDIA-SMI has failed: no driver", ""])
def test_a_driver_that_is_broken_is_no_machine_without_gpus(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{said}'\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert main(["launch", "torchrun", RECIPE, "--dry-run"]) == 1
    told = capsys.readouterr().err
    assert (
        f"nvidia-smi: {said or 'failed without a word'}; mend the driver, or set CUDA_VISIBLE"
        in told
    )


def test_the_script_becomes_torchrun_which_outlives_its_workers_signals(tmp_path: Path) -> None:
    """A torchrun that says what it was given, and lives through the signals that its workers are to get."""
    fake = tmp_path / "torch" / "distributed" / "run.py"
    fake.parent.mkdir(parents=True)
    fake.write_text(
        "import os, signal, sys\n"
        "for number in (signal.SIGUSR1, signal.SIGUSR2):\n"
        "    os.kill(os.getpid(), number)\n"
        "print(os.getpid(), os.environ['TORCH_ELASTIC_SHUTDOWN_TIMEOUT'], *sys.argv)\n"
    )
    for folder in (fake.parent, fake.parent.parent):
        (folder / "__init__.py").touch()
    here = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{tmp_path}:{os.getcwd()}/src",
    }
    words = ["launch/torchrun.sh", RECIPE, "--nproc-per-node=2"]
    with subprocess.Popen(
        words, env=os.environ | here, stdout=subprocess.PIPE, text=True
    ) as script:
        said, _ = script.communicate(timeout=60)
    assert script.returncode == 0
    assert said.split()[0] == str(script.pid), "no process stands between the launcher and torchrun"
    assert said.split()[1] == "300", "seconds that its workers have to save when it is interrupted"
    assert said.split()[-2:] == ["--preflight", RECIPE]


def test_without_torch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["launch", "torchrun", RECIPE, "--nproc-per-node=1"]) == 1
    assert (
        f"torchrun: not found next to {sys.executable}; start surgstream from"
        in capsys.readouterr().err
    )
