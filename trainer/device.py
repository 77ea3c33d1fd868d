"""Logs the device that a rank computes on."""

import logging
import os
import platform
import subprocess

import torch

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.estimates import GIB
from surgstream.trainer.preflight.driver import gpus_are_hidden, look_at_driver
from surgstream.trainer.preflight.driver_rules import CUDA_12, why_torch_fails
from surgstream.trainer.preflight.node import installed_driver

log = logging.getLogger(__name__)


def tell_device(rank_info: RankInfo) -> None:
    """Log the device of this rank; warn where there is a GPU that torch does not see."""
    device = rank_info.device
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        log.info(
            "computing on %s: %s, %.0f GiB, driver %s; torch %s, CUDA %s",
            device,
            found.name,
            found.total_memory / GIB,
            installed_driver(),
            torch.__version__,
            torch.version.cuda,
        )
        return

    processor = platform.processor() or platform.machine()
    num_cores = len(os.sched_getaffinity(0))
    log.info(
        "computing on the CPU: %s, %d cores; torch %s", processor, num_cores, torch.__version__
    )
    if gpus := gpus_of_driver():
        log.warning("nvidia-smi sees %s, which torch does not: %s", gpus, why_unseen())


def gpus_of_driver() -> str:
    """Describe the node's GPUs as the driver's own tool names them, with its version; empty where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""

    gpus = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 2]
    if not gpus:
        return ""
    name, memory, driver = gpus[0]
    return f"{len(gpus)} x {name} of {memory} (driver {driver})"


def why_unseen() -> str:
    """Explain why torch does not see a GPU that is there, and what to do."""
    version = torch.__version__
    if torch.version.cuda is None:
        return (
            f"torch {version} is built without CUDA; install surgstream[cuda13], or, for drivers "
            f"below 580, {CUDA_12}"
        )

    if gpus_are_hidden(os.environ):
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides it"

    cuda = look_at_driver()
    if cuda and (reason := why_torch_fails(cuda)):
        return reason

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).partition("\n")[0]
    return f"torch {version} of CUDA {torch.version.cuda} counts none; see whether nvidia-smi works"
