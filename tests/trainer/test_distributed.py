import logging
import os
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from surgstream.trainer.distributed import (
    RankInfo,
    alone_when_failing,
    rank_info_from_environment,
)
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.session.log import configure_logging

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}
SLURM = {"SLURM_NTASKS": "16", "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "123456"}


def test_a_process_on_its_own_is_alone() -> None:
    assert rank_info_from_environment({}) == RankInfo()
    assert rank_info_from_environment({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) == RankInfo()


def test_torchrun() -> None:
    assert rank_info_from_environment(TORCHRUN) == RankInfo(
        rank=3, local_rank=1, world_size=4, master_addr="node0", master_port=29500
    )


def test_srun() -> None:
    found = rank_info_from_environment({**SLURM, "MASTER_ADDR": "node0"})
    assert found == RankInfo(
        rank=9, local_rank=1, world_size=16, master_addr="node0", master_port=23456
    )


@pytest.mark.parametrize("missing", ["WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_missing_variable_is_an_error_and_never_world_size_1(missing: str) -> None:
    environment = {name: value for name, value in TORCHRUN.items() if name != missing}
    with pytest.raises(DistributedError, match=missing):
        rank_info_from_environment(environment)


def test_a_rank_outside_the_world_is_an_error() -> None:
    with pytest.raises(DistributedError, match="got 4"):
        rank_info_from_environment({**TORCHRUN, "RANK": "4"})


def test_srun_without_scontrol_or_master_address_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DistributedError, match="export MASTER_ADDR"):
        rank_info_from_environment({**SLURM, "SLURM_JOB_NODELIST": "node[0-1]"})


def test_a_shell_inside_an_allocation_is_no_task_of_it() -> None:
    with pytest.raises(DistributedError, match="none of the Slurm job's 16 tasks; start with srun"):
        rank_info_from_environment({"SLURM_NTASKS": "16"})


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_ranks_of_mpirun_are_told_what_to_start_them_with(name: str) -> None:
    with pytest.raises(
        DistributedError, match=f"expected torchrun or srun, got {name}=2, as from mpirun or hydra"
    ):
        rank_info_from_environment({name: "2"})
    assert rank_info_from_environment({name: "1"}) == RankInfo()
    assert rank_info_from_environment({name: "2", **TORCHRUN}).world_size == 4
    assert (
        rank_info_from_environment({name: "16", **SLURM, "MASTER_ADDR": "node0"}).world_size == 16
    )


@pytest.mark.parametrize(("num_gpus", "index"), [(0, None), (1, 0), (8, 3)])
def test_a_rank_takes_its_own_gpu_or_the_only_one_it_sees(
    num_gpus: int, index: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert RankInfo(rank=3, local_rank=3, world_size=8).device.index == index


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "[tcp/pair.cc:525] Connection closed by peer [10.0.0.2]:4711",
            "another rank has ended; its own message",
        ),
        (
            "NCCL error in: x.cpp:1, remote process exited or there was a network error",
            "another rank has ended",
        ),
        (
            "NCCL error in: x.cpp:1, unhandled cuda error; Last error: out of memory",
            "Last error: out of memory",
        ),
        ("shape mismatch", "shape mismatch"),
    ],
)
def test_only_a_lost_peer_is_blamed_on_others(
    error: str, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits = list[float]()
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    with pytest.raises(SystemExit, match="1"), alone_when_failing(RankInfo(world_size=2)):
        raise RuntimeError(error)
    assert said in caplog.text and ("another rank" in caplog.text) == ("another rank" in said)
    assert bool(waits) == ("another rank" in said), "the launcher hears of the other one first"


def test_a_log_that_a_full_disk_does_not_take_is_told_of_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    with warnings.catch_warnings():
        configure_logging(RankInfo(), Path("/dev/full"))
    for number in range(3):
        logging.getLogger("here").info("step %d", number)
    told = capsys.readouterr().err
    assert [number for number in range(3) if f"step {number}" in told] == [
        0,
        1,
        2,
    ] and "Traceback" not in told
    assert (
        told.count(
            "/dev/full: [Errno 28] No space left on device; what follows is not written there"
        )
        == 1
    )


def test_a_message_that_cannot_be_written_ends_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    with warnings.catch_warnings():
        configure_logging(RankInfo(), tmp_path / "train.log")
    for words in (("name: %s", "v\udcff.mp4"), ("%d clips", "no"), ("next",)):
        logging.getLogger("here").info(*words)
    logging.root.handlers[1].close()
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line.partition("INFO ")[2] for line in lines] == ["name: v\\udcff.mp4", "next"]
    assert "Logging error" in capsys.readouterr().err
