"""What a log says of the device, on nodes that have none, one, or one that torch does not see."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from surgstream.trainer import device as devices
from surgstream.trainer.device import GPUS_PER_NODE, check_own_gpu, gpus_of_driver, tell_device
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.preflight import driver as driver_module

LISTING = "NVIDIA RTX A5000, 24564 MiB, 470.199.02"
TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040).\nPlease update your GPU driver"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver's tool that lists two GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{LISTING}\\n{LISTING}\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tool


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_without_gpus_the_log_names_the_cpu_and_warns_of_nothing(
    said: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tell_device(RankInfo())
    (line,) = said.messages
    assert line.startswith("computing on the CPU: ") and f"torch {torch.__version__}" in line


@pytest.mark.usefixtures("no_gpu", "driver")
@pytest.mark.parametrize(
    ("cuda", "visible", "reason"),
    [
        (
            None,
            None,
            "is built without CUDA; install surgstream[cuda13], or, for drivers below 580",
        ),
        ("13.0", "", "CUDA_VISIBLE_DEVICES='' hides it"),
        ("13.0", "-1", "CUDA_VISIBLE_DEVICES='-1' hides it"),
        (
            "13.0",
            None,
            "driver 470.199.02 runs CUDA 11.4, torch is of CUDA 13.0; install driver 580",
        ),
        ("13.0", "GPU-8932f937", "driver 470.199.02 runs CUDA 11.4"),
        ("11.8", "0", "The NVIDIA driver on your system is too old (found version 11040)."),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_warned_of_with_the_reason(
    cuda: str | None,
    visible: str | None,
    reason: str,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise RuntimeError(TOO_OLD)

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    monkeypatch.setattr(driver_module, "installed_driver", lambda: "470.199.02")
    monkeypatch.setattr(driver_module, "cuda_of_driver", lambda: "11.4")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    tell_device(RankInfo())
    cpu, warning = said.records
    assert cpu.levelname == "INFO" and warning.levelname == "WARNING"
    expected = "nvidia-smi sees 2 x NVIDIA RTX A5000 of 24564 MiB (driver 470.199.02), which torch does not: "
    assert warning.getMessage().startswith(expected)
    assert reason in warning.getMessage() and "\n" not in warning.getMessage()


@pytest.mark.parametrize(
    "answer", ["echo No devices were found", "echo NVIDIA-SMI has failed >&2; exit 9"]
)
def test_a_tool_that_finds_none_is_no_gpu(answer: str, driver: Path) -> None:
    driver.write_text(f"#!/bin/sh\n{answer}\n")
    assert gpus_of_driver() == ""


def test_a_gpu_is_named_with_memory_driver_and_cuda(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(name="NVIDIA H800", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr("surgstream.trainer.device.installed_driver", lambda: "580.95.05")
    tell_device(RankInfo(rank=3, local_rank=3, world_size=8))
    expected = f"computing on cuda:3: NVIDIA H800, 80 GiB, driver 580.95.05; torch {torch.__version__}, CUDA 13.0"
    assert said.messages == [expected]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("asked_for", [None, "0"])
def test_a_run_that_was_given_no_gpus_needs_none(
    asked_for: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(GPUS_PER_NODE, raising=False)
    if asked_for:
        monkeypatch.setenv(GPUS_PER_NODE, asked_for)
    assert check_own_gpu(RankInfo()) == 0


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("cuda", "kernel_driver", "visible", "reason"),
    [
        (None, "580.95.05", None, "is built without CUDA; install"),
        ("13.0", "580.95.05", None, "nvidia-smi does not answer; see what it prints; a container needs --nv"),
        ("13.0", "580.95.05", "void", "NVIDIA_VISIBLE_DEVICES='void' keeps them out of this container"),
        ("13.0", "unknown", None, "no driver here"),
    ],
)  # fmt: skip
def test_a_run_that_was_given_gpus_does_not_train_on_the_cpu(
    cuda: str | None,
    kernel_driver: str,
    visible: str | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise RuntimeError("no driver here")

    monkeypatch.setenv("PATH", str(tmp_path))  # without nvidia-smi
    monkeypatch.setenv(GPUS_PER_NODE, "8")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    monkeypatch.setattr(devices, "installed_driver", lambda: kernel_driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", visible)
    with pytest.raises(DistributedError, match="expected 8 GPUs on each node, got none: ") as error:
        check_own_gpu(RankInfo(rank=3, local_rank=3, world_size=8))
    assert reason in str(error.value)


def test_one_gpu_of_eight_may_be_the_rank_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv(GPUS_PER_NODE, "8")
    assert check_own_gpu(RankInfo(rank=5, local_rank=5, world_size=8)) == 8


def test_more_ranks_than_gpus_fewer_gpus_and_a_count_that_is_none_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DistributedError, match="a GPU for local rank 2, got 2 GPUs on this node"):
        check_own_gpu(RankInfo(rank=2, local_rank=2, world_size=3))
    monkeypatch.setenv(GPUS_PER_NODE, "8")
    with pytest.raises(DistributedError, match="expected 8 GPUs, got 2; see nvidia"):
        check_own_gpu(RankInfo())
    monkeypatch.setenv(GPUS_PER_NODE, "eight")
    with pytest.raises(DistributedError, match="SURGSTREAM_GPUS_PER_NODE, got 'eight'"):
        check_own_gpu(RankInfo())
