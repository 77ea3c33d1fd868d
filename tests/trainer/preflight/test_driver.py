"""Drivers that are too old for what is installed, and what the sentence says to install."""

import ctypes
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.preflight import driver
from surgstream.trainer.preflight.judgement.driver import (
    FIRST_DRIVER,
    driver_problems,
    why_dali_fails,
    why_torch_fails,
)
from surgstream.trainer.preflight.judgement.report import CudaVersions
from tests.trainer.preflight.reports import CUDA, change, cluster

OLD = replace(CUDA, driver="550.54.15", of_driver="12.4")

versions = st.builds("{}.{}".format, st.integers(11, 14), st.integers(0, 9))


def test_an_old_driver_is_named_with_all_that_may_be_installed() -> None:
    (problem,) = driver_problems(change(cluster(2, gpus=2), 1, cuda=OLD))
    assert problem.fatal and problem.check == "GPUs" and problem.ranks == (2, 3)
    assert problem.sentence == (
        "driver 550.54.15 runs CUDA 12.4, torch is of CUDA 13.0; install driver 580 or newer, or "
        "surgstream[cuda12] and `pip install --force-reinstall "
        "--index-url https://download.pytorch.org/whl/cu126 torch torchvision`, or "
        "cuda-compat-13-0 in a container"
    )


def test_a_driver_that_runs_no_cuda_12_is_not_offered_it() -> None:
    sentence = why_torch_fails(replace(CUDA, driver="470.199.02", of_driver="11.4"))
    assert "install driver 580 or newer, or cuda-compat-13-0" in sentence


def test_a_driver_without_its_library_is_a_container_that_was_started_without() -> None:
    (problem,) = driver_problems(change(cluster(1), cuda=replace(CUDA, of_driver="")))
    assert problem.fatal and "libcuda.so.1 is not found; start the container with --nv" in (
        problem.sentence
    )


def test_a_dali_of_newer_cuda_is_a_warning() -> None:
    """What `surgstream[cuda13]` beside a torch of CUDA 12 has."""
    (problem,) = driver_problems(change(cluster(1), cuda=replace(OLD, of_torch="12.6")))
    assert not problem.fatal
    assert problem.sentence == (
        "driver 550.54.15 runs CUDA 12.4, DALI is of CUDA 13.0 and can decode on the CPU alone; "
        "install driver 580 or newer, or surgstream[cuda12] in its place"
    )


@given(of_driver=versions, of_torch=versions, of_dali=versions)
def test_any_minor_version_of_the_same_major_runs(
    of_driver: str, of_torch: str, of_dali: str
) -> None:
    cuda = CudaVersions(driver="1", of_driver=of_driver, of_torch=of_torch, of_dali=of_dali)
    assert bool(why_torch_fails(cuda)) == (of_torch[:2] > of_driver[:2])
    assert bool(why_dali_fails(cuda)) == (of_dali[:2] > of_driver[:2])


@given(of_driver=st.just("") | versions, of_dali=st.just("") | versions)
def test_a_torch_without_cuda_needs_no_driver(of_driver: str, of_dali: str) -> None:
    assert not why_torch_fails(
        CudaVersions(driver="1", of_driver=of_driver, of_torch="", of_dali=of_dali)
    )


def test_newer_cuda_needs_newer_drivers() -> None:
    assert sorted(FIRST_DRIVER.values()) == [FIRST_DRIVER[major] for major in sorted(FIRST_DRIVER)]


class Libcuda:
    """The library of a driver that runs CUDA 12.4."""

    @staticmethod
    def cuDriverGetVersion(version: "ctypes.Array[ctypes.c_int]") -> int:
        version._obj.value = 12040  # type: ignore[attr-defined]
        return 0


def test_the_driver_is_asked_for_its_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "installed_driver", lambda: "550.54.15")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Libcuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert driver.look_at_driver() == OLD


def test_a_node_without_a_library_or_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert driver.cuda_of_driver() == ""
    monkeypatch.setattr(driver, "installed_driver", lambda: "unknown")
    assert driver.look_at_driver() is None


def test_hidden_gpus_need_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "installed_driver", lambda: "550.54.15")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert driver.look_at_driver() is None


@pytest.mark.slow
def test_deepspeed_leaves_torch_to_see_gpus_as_it_does() -> None:
    """NVML sees the GPUs of an old driver, and each rank would fail at its first use of one."""
    program = "import os, surgstream.trainer.engine.zero; print(os.environ['PYTORCH_NVML_BASED_CUDA_CHECK'])"
    clean = {k: v for k, v in os.environ.items() if k != "PYTORCH_NVML_BASED_CUDA_CHECK"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split()[-1] == "0", done.stderr


@pytest.mark.gpu
def test_the_driver_of_a_gpu_runs_what_is_installed() -> None:
    cuda = driver.look_at_driver()
    assert cuda and not why_torch_fails(cuda) and not why_dali_fails(cuda)
