"""A GPU as NVML, the driver's own library, sees it: its health and the energy it took. The one door to NVML."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import pynvml
import torch

T = TypeVar("T")

# What holds the clocks of a busy GPU down is its power limit, which is normal, or one of these, which is not: the most
# exact one comes first.
_SLOWDOWNS = {
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "the hardware for its temperature",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "the power supply's brake",
    pynvml.nvmlClocksEventReasonHwSlowdown: "the hardware",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "the driver for its temperature",
}

_RECOVERIES = {
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: "reset the GPU",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "reboot the node",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: "drain its peer-to-peer traffic",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: "drain the node and reset the GPU",
}

_XIDS_OF_PROGRAMS = {13, 31, 43, 45, 68, 94, 109}
"""Errors that a program brings on itself, or that end it and leave the GPU well; NVIDIA's device plugin for Kubernetes
passes over these as well, but for 94."""

_EVENT_MILLISECONDS = 1


@dataclass(frozen=True, kw_only=True)
class PcieLink:
    """The generation of a PCIe link, which decides a lane's rate, and the number of its lanes."""

    generation: int
    width: int


@dataclass(frozen=True, kw_only=True)
class GpuHealth:
    """What NVML says of a GPU; None is what this GPU, driver or container does not tell.

    Attributes:
        index: Its number in `nvidia-smi`.
        uuid: Its UUID, as `nvidia-smi -L` prints it.
        name: Its model.
        uncorrected_errors: Memory errors that ECC could not correct since the driver was loaded or the GPU reset.
        remap_pending: Whether rows of memory wait for a reset to be replaced by spare ones.
        remap_failed: Whether a row could not be replaced.
        recovery: What the driver wants done about the GPU; empty where that is nothing.
        slowdown: What holds its clocks down, beside its power limit; empty where that is nothing.
        num_links: NVLinks that are up.
        pcie: Its PCIe link.
        pcie_best: The best link that GPU and node allow.
        xids: Errors of the GPU, by the driver's numbers, since its health was last asked for; not a program's own.
    """

    index: int
    uuid: str
    name: str
    uncorrected_errors: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    recovery: str | None = None
    slowdown: str | None = None
    num_links: int | None = None
    pcie: PcieLink | None = None
    pcie_best: PcieLink | None = None
    xids: tuple[int, ...] = ()


class NvmlGpu:
    """One GPU, open in NVML."""

    def __init__(self, handle: Any) -> None:
        """Watch a GPU for errors from now on.

        Args:
            handle: NVML's handle of it.

        Raises:
            pynvml.NVMLError: The GPU does not answer.
        """
        self._handle = handle
        self._identity = GpuHealth(
            index=pynvml.nvmlDeviceGetIndex(handle),
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            name=pynvml.nvmlDeviceGetName(handle),
        )
        self._events = _told(self._watch_events)

    @classmethod
    def open(cls, device: torch.device) -> Self | None:
        """Open a rank's GPU; None on a CPU, without NVML, and for a part of a GPU (MIG), whose health NVML hides."""
        if device.type != "cuda":
            return None

        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()  # counts its calls: one for each that opens it
            return cls(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        return None

    def health(self) -> GpuHealth:
        """Ask for the GPU's health, some fifty questions, most of them for links."""
        gpu = self._handle
        kind = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
        since_reset = pynvml.NVML_VOLATILE_ECC
        rows = _told(pynvml.nvmlDeviceGetRemappedRows, gpu)

        return GpuHealth(
            index=self._identity.index,
            uuid=self._identity.uuid,
            name=self._identity.name,
            uncorrected_errors=_told(pynvml.nvmlDeviceGetTotalEccErrors, gpu, kind, since_reset),
            remap_pending=bool(rows[2]) if rows else None,
            remap_failed=bool(rows[3]) if rows else None,
            recovery=_told(self._recovery),
            slowdown=_told(self._slowdown),
            num_links=self._num_links(),
            pcie=_told(self._pcie),
            pcie_best=_told(self._pcie_best),
            xids=self._xids(),
        )

    def joules(self) -> float | None:
        """The energy that the GPU took since the driver was loaded; None before the Volta generation."""
        millijoules = _told(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        return None if millijoules is None else millijoules / 1e3

    def _recovery(self) -> str | None:
        (field,) = pynvml.nvmlDeviceGetFieldValues(
            self._handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
        )
        if field.nvmlReturn != pynvml.NVML_SUCCESS:  # drivers before R570
            return None
        action = field.value.uiVal
        if action == pynvml.NVML_GPU_RECOVERY_ACTION_NONE:
            return ""
        return _RECOVERIES.get(action, f"see nvidia-smi -q (recovery action {action})")

    def _slowdown(self) -> str:
        reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle)
        return next((words for reason, words in _SLOWDOWNS.items() if reasons & reason), "")

    def _num_links(self) -> int | None:
        """NVLinks that are up; those past a model's last one are an error to ask for."""
        links = range(pynvml.NVML_NVLINK_MAX_LINKS)
        states = [_told(pynvml.nvmlDeviceGetNvLinkState, self._handle, link) for link in links]
        known = [state for state in states if state is not None]
        active = pynvml.NVML_FEATURE_ENABLED
        return known.count(active) if known else None

    def _pcie(self) -> PcieLink:
        return PcieLink(
            generation=pynvml.nvmlDeviceGetCurrPcieLinkGeneration(self._handle),
            width=pynvml.nvmlDeviceGetCurrPcieLinkWidth(self._handle),
        )

    def _pcie_best(self) -> PcieLink:
        return PcieLink(
            generation=pynvml.nvmlDeviceGetMaxPcieLinkGeneration(self._handle),
            width=pynvml.nvmlDeviceGetMaxPcieLinkWidth(self._handle),
        )

    def _watch_events(self) -> Any:
        events = pynvml.nvmlEventSetCreate()
        pynvml.nvmlDeviceRegisterEvents(self._handle, pynvml.nvmlEventTypeXidCriticalError, events)
        return events

    def _xids(self) -> tuple[int, ...]:
        """Take the errors that wait in NVML's queue, which keeps them from when it was opened."""
        found = []
        while self._events is not None:
            event = _told(pynvml.nvmlEventSetWait_v2, self._events, _EVENT_MILLISECONDS)
            if event is None:
                break
            found.append(int(event.eventData))
        return tuple(xid for xid in found if xid not in _XIDS_OF_PROGRAMS)


def _told(question: Callable[..., T], *arguments: Any) -> T | None:
    """The answer of NVML; None where there is none."""
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None
