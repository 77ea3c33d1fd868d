"""The facts of a node: GPUs, versions, space, limits."""

import os
import re
import resource
import shutil
from importlib.metadata import distributions
from pathlib import Path

import torch

from surgstream.trainer.host.cores import cores_near, cores_of_rank, cores_to_take
from surgstream.trainer.preflight.judgement.report import Gpu, NodeFacts

_GIB = 2**30
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DRIVER = re.compile(r"Kernel Module\b.*?\s(\d+(\.\d+)+)")
"""The version in what the driver says; the open one is "for x86_64", or for another machine, before it."""


def look_at_node(device: torch.device, run_dir: Path, cache_dir: Path | None) -> NodeFacts:
    """Look at this node.

    Args:
        device: The device of this rank, which need not exist.
        run_dir: The run directory, which need not exist.
        cache_dir: The cache's folder, which need not exist.
    """
    on_gpu = device.type == "cuda"
    gpus = tuple(_gpu(index) for index in range(torch.cuda.device_count())) if on_gpu else ()
    has_gpu = on_gpu and device.index < len(gpus)
    near = cores_near(device) if has_gpu else set()
    cores = cores_to_take(os.sched_getaffinity(0), near, cores_of_rank(os.environ))

    return NodeFacts(
        gpus=gpus,
        own_gpu=gpus[device.index].uuid if has_gpu else "",
        num_cores=len(cores),
        num_far_cores=len(cores - near) if near else 0,
        own_free_gib=torch.cuda.mem_get_info(device)[0] / _GIB if has_gpu else 0.0,
        versions=_versions(on_gpu),
        run_dir_gib=free_gib(run_dir),
        # What the cache holds already counts as its room.
        cache_gib=free_gib(cache_dir) + _size_gib(cache_dir) if cache_dir else None,
        shm_gib=free_gib(Path("/dev/shm")),
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        nproc=resource.getrlimit(resource.RLIMIT_NPROC)[0],
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        infiniband=any(Path("/sys/class/infiniband").glob("*")),
    )


def free_gib(path: Path) -> float:
    """Free GiB of the file system where `path` is or would be."""
    path = path.absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(there).free / _GIB


def driver_version(text: str) -> str:
    """The version of NVIDIA's driver from what it says in /proc; `unknown` where it does not."""
    found = _DRIVER.search(text)
    return found[1] if found else "unknown"


def installed_driver() -> str:
    """The version of this node's driver."""
    return driver_version(_DRIVER_FILE.read_text() if _DRIVER_FILE.exists() else "")


def _size_gib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / _GIB


def _gpu(index: int) -> Gpu:
    found = torch.cuda.get_device_properties(index)
    return Gpu(uuid=str(found.uuid), name=found.name, gib=found.total_memory / _GIB)


def _versions(on_gpu: bool) -> dict[str, str]:
    """Versions that ranks of one run must share: NCCL's wire format, kernels and decoders differ between them."""
    packages = {found.name.replace("_", "-"): found.version for found in distributions()}
    dali = [name for name in sorted(packages) if name.startswith("nvidia-dali-cuda")]
    versions = {
        "torch": str(torch.__version__),
        "DALI": packages[dali[0]] if dali else "none",
    }
    if on_gpu:
        versions["driver"] = installed_driver()
        versions["CUDA"] = str(torch.version.cuda)
        versions["NCCL"] = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    return versions
