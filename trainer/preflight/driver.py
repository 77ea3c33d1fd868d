"""The versions of CUDA on a node: the driver's, torch's and DALI's."""

import ctypes
import os
from collections.abc import Mapping
from importlib.metadata import distributions

import torch

from surgstream.trainer.preflight.judgement.report import CudaVersions
from surgstream.trainer.preflight.node import installed_driver

_DALI = "nvidia-dali-cuda"


def look_at_driver() -> CudaVersions | None:
    """Look at this node's driver; None where there is none, or where its GPUs are hidden on purpose."""
    driver = installed_driver()
    if driver == "unknown" or gpus_are_hidden(os.environ):
        return None

    return CudaVersions(
        driver=driver,
        of_driver=cuda_of_driver(),
        of_torch=torch.version.cuda or "",
        of_dali=cuda_of_dali(),
    )


def gpus_are_hidden(environment: Mapping[str, str]) -> bool:
    """Whether the environment hides all GPUs from CUDA."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.partition(",")[0].strip() in ("", "-1")


def cuda_of_driver() -> str:
    """The newest CUDA that the driver runs, such as `12.4`; empty where its library libcuda is not found.

    It is asked of libcuda, not looked up by the driver's version: NVIDIA's cuda-compat is a newer libcuda on an older
    driver.
    """
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ""

    version = ctypes.c_int()
    if libcuda.cuDriverGetVersion(ctypes.byref(version)):
        return ""
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def cuda_of_dali() -> str:
    """The CUDA of the installed DALI, such as `13.0`; empty without DALI."""
    names = sorted(found.name.replace("_", "-") for found in distributions())
    digits = next((name.removeprefix(_DALI) for name in names if name.startswith(_DALI)), "")
    return f"{digits[:-1]}.{digits[-1]}" if digits else ""
