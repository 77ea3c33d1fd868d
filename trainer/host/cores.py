"""The CPU cores of a rank: how many are its own, and which are near its GPU."""

import logging
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import torch

log = logging.getLogger(__name__)

_SYS = Path("/sys")
_TASKS = Path("/proc/self/task")

_COUNTED = "SURGSTREAM_CORES_OF_RANK"
"""Where the number of a rank's cores is kept once it is bound to a socket, which other ranks share."""


def cores_of_rank(environment: Mapping[str, str]) -> int:
    """Count the CPU cores that this rank may keep busy: those it is bound to, or its share of the node's.

    Args:
        environment: `os.environ`, or a copy.
    """
    if _COUNTED in environment:
        return int(environment[_COUNTED])

    cores = len(os.sched_getaffinity(0))
    if "LOCAL_WORLD_SIZE" in environment:  # torchrun binds no rank to cores
        return max(1, cores // int(environment["LOCAL_WORLD_SIZE"]))

    bound = cores < int(environment.get("SLURM_CPUS_ON_NODE", cores))
    tasks = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if bound or not tasks:
        return cores
    return max(1, cores // int(tasks[0]))


def bind_near(device: torch.device) -> None:
    """Keep all threads of this process on the cores of its GPU's socket, where its launcher has not bound it already.

    Memory of the other socket costs copies to the GPU a part of their speed. Nothing is an error: where the machine
    does not say which cores are near, or forbids it, a rank stays where it is.

    Args:
        device: The device of this rank.
    """
    present = os.sched_getaffinity(0)
    share = cores_of_rank(os.environ)
    cores = cores_to_take(present, cores_near(device), share)
    if cores == present:
        return

    os.environ[_COUNTED] = str(share)
    for task in os.listdir(_TASKS):
        with suppress(OSError):  # a thread that has just ended
            os.sched_setaffinity(int(task), cores)
    log.info("bound to the %d cores near %s", len(cores), device)


def cores_to_take(present: Collection[int], near: Collection[int], share: int) -> set[int]:
    """Choose the cores of a rank: those near its GPU, where they are no fewer than its share of the node's.

    A rank that its launcher has bound to cores of its own, which are its whole share, thus keeps them, also where they
    are of two sockets: half as many near ones would decode more slowly than all of them.

    Args:
        present: The cores that it may use now.
        near: The cores near its GPU; none where that is not known.
        share: The cores that it may keep busy, see `cores_of_rank`.
    """
    common = set(present) & set(near)
    return common if len(common) >= share else set(present)


def cores_near(device: torch.device, sys: Path = _SYS) -> set[int]:
    """The cores near a GPU, as Linux tells them of its PCI slot; none for a CPU, or where that is not known.

    Args:
        device: The device.
        sys: The file system in which Linux tells it.
    """
    if device.type != "cuda":
        return set()
    try:
        found = torch.cuda.get_device_properties(device)
        slot = f"{found.pci_domain_id:04x}:{found.pci_bus_id:02x}:{found.pci_device_id:02x}.0"  # type: ignore[attr-defined]
        return parse_cores((sys / "bus/pci/devices" / slot / "local_cpulist").read_text())
    except (AttributeError, OSError, RuntimeError, ValueError):  # an older torch, a virtual machine
        return set()


def parse_cores(text: str) -> set[int]:
    """Read a list of cores as Linux writes it, such as `0-47,96-143`.

    Raises:
        ValueError: It is none.
    """
    cores: set[int] = set()
    for span in filter(None, text.strip().split(",")):
        first, _, last = span.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return cores
