"""Watches the hardware while a run goes on: warns of what breaks, and measures the energy that clips take."""

import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from surgstream.trainer.health.adapters import Adapter, find_adapters
from surgstream.trainer.health.faults import Fault, adapter_faults, gpu_faults
from surgstream.trainer.health.gpus import GpuHealth, NvmlGpu
from surgstream.trainer.host.names import node_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The hardware of a rank and of its node.

    Attributes:
        node: The name of the node.
        gpu: The rank's GPU; None without one, or where NVML does not tell.
        adapters: The node's adapters that NCCL may take.
    """

    node: str
    gpu: GpuHealth | None
    adapters: tuple[Adapter, ...]


@dataclass(frozen=True, kw_only=True)
class HardwareNews:
    """What a rank tells the others at a report.

    Attributes:
        joules: The energy that its GPU took since the last report; None where NVML does not tell.
        hardware: Its hardware, where it was looked at and anything is there.
        is_due: Whether, by its clock, it is time for the next look; all go by rank 0's.
    """

    joules: float | None
    hardware: Hardware | None
    is_due: bool = False


class HardwareWatch:
    """Looks at this rank's hardware every few minutes.

    It asks nobody: its news travel with a report's other values, and so does rank 0's word that all should look before
    the next report.
    """

    def __init__(self, gpu: NvmlGpu | None, every_minutes: float, *, speaks: bool) -> None:
        """Start to count energy.

        Args:
            gpu: This rank's GPU.
            every_minutes: The minutes between two looks; 0 never looks.
            speaks: Whether this rank reports what is found on all.
        """
        self._gpu = gpu
        self._every_seconds = 60 * every_minutes
        self._looks_next = every_minutes > 0
        self._due = time.monotonic() + self._every_seconds if every_minutes else math.inf
        self._speaks = speaks
        self._joules = gpu.joules() if gpu else None
        self._known: set[str] = set()

    def news(self) -> HardwareNews:
        """What happened since the last call; some milliseconds where the hardware is looked at."""
        return HardwareNews(
            joules=self._new_joules(),
            hardware=self._look() if self._looks_next else None,
            is_due=time.monotonic() >= self._due,
        )

    def report(self, news: Sequence[HardwareNews], num_clips: int) -> dict[str, float]:
        """Report on the news of all ranks, and warn of each fault when it comes.

        Args:
            news: The news, by rank.
            num_clips: The clips of all ranks since the last report.

        Returns:
            `energy/joules_per_clip`, pauses for evaluation and saves included, where all GPUs tell; and
            `health/faults`, the number of faults, where the hardware was looked at. Nothing on a rank that is silent.
        """
        self._looks_next = news[0].is_due
        if self._looks_next:
            self._due = time.monotonic() + self._every_seconds

        values: dict[str, float] = {}
        if not self._speaks:
            return values

        joules = [rank.joules for rank in news if rank.joules is not None]
        if len(joules) == len(news):
            values["energy/joules_per_clip"] = sum(joules) / num_clips

        found = [rank.hardware for rank in news if rank.hardware is not None]
        if found:
            sentences = _sentences(found)
            for sentence in sorted(sentences - self._known):
                log.warning("%s", sentence)
            self._known = sentences
            values["health/faults"] = len(sentences)
        return values

    def _look(self) -> Hardware | None:
        gpu = self._gpu.health() if self._gpu else None
        adapters = find_adapters(os.environ)
        if not gpu and not adapters:
            return None
        return Hardware(node=node_name(), gpu=gpu, adapters=adapters)

    def _new_joules(self) -> float | None:
        before = self._joules
        self._joules = self._gpu.joules() if self._gpu else None
        if before is None or self._joules is None:
            return None
        return self._joules - before


def _sentences(hardware: Sequence[Hardware]) -> set[str]:
    """All faults of all nodes in words, each once."""
    found: set[str] = set()
    gpus = [rank.gpu for rank in hardware if rank.gpu]
    for rank in hardware:
        if rank.gpu:
            found |= {_on(rank.node, fault) for fault in gpu_faults(rank.gpu, gpus)}

    adapters = {rank.node: rank.adapters for rank in hardware}
    for node, own in adapters.items():
        found |= {_on(node, fault) for fault in adapter_faults(own, [*adapters.values()])}
    return found


def _on(node: str, fault: Fault) -> str:
    return f"{node}: {fault.sentence}"
