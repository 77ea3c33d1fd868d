"""The device that a rank computes on: whether it is there, and what it is."""

import logging
import os
import platform
import subprocess
from collections.abc import Mapping

import torch

from surgstream.trainer.distributed import RankInfo, check_own_number
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.estimates import GIB
from surgstream.trainer.preflight.driver import gpus_are_hidden, look_at_driver
from surgstream.trainer.preflight.judgement.driver import CUDA_12, why_torch_fails
from surgstream.trainer.preflight.judgement.gpus import too_few_gpus
from surgstream.trainer.preflight.node import installed_driver

log = logging.getLogger(__name__)

GPUS_PER_NODE = "SURGSTREAM_GPUS_PER_NODE"
"""The variable in which a launcher says how many GPUs each node has for the run; 0, or none of it, for one on CPUs."""


def check_own_gpu(rank_info: RankInfo) -> int:
    """Make sure that this rank has a GPU, and that its node has all, where the run was given some.

    Else a run that was given GPUs would train on CPUs, and nobody would notice for hours.

    Returns:
        The GPUs that each node must show; 0 where nobody has said.

    Raises:
        DistributedError: There is none, or there are fewer; the message says why.
    """
    asked_for = os.environ.get(GPUS_PER_NODE, "0")
    if not (asked_for.isascii() and asked_for.isdecimal()):
        raise DistributedError(
            f"environment: expected a number of GPUs in {GPUS_PER_NODE}, got {asked_for!r}; unset it, "
            "or set it to those of each node, 0 to train on CPUs"
        )

    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not num_gpus and int(asked_for):
        reason = _why_hidden(os.environ) or why_unseen()
        raise DistributedError(f"expected {asked_for} GPUs on each node, got none: {reason}")

    # One may be this rank's own, as under `srun --gpus-per-task=1`.
    if 1 < num_gpus < int(asked_for):
        raise DistributedError(too_few_gpus(int(asked_for), num_gpus))

    if num_gpus:
        check_own_number(rank_info)
    return int(asked_for)


def _why_hidden(environment: Mapping[str, str]) -> str:
    """Explain why a container does not see the GPUs of its node; empty where it is not to blame."""
    # The hook that puts a driver into containers of Pyxis and Docker goes by this variable.
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", "all")
    if visible in ("", "none", "void"):
        return f"NVIDIA_VISIBLE_DEVICES={visible!r} keeps them out of this container; set it to all"

    # The kernel's driver is seen in any container, its libraries and tools are not.
    if torch.version.cuda and installed_driver() != "unknown" and not gpus_of_driver():
        return (
            "the node has a driver, but nvidia-smi does not answer; see what it prints; a container "
            "needs --nv (Apptainer) or NVIDIA_VISIBLE_DEVICES=all (Pyxis)"
        )
    return ""


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
