"""A stand-in for NVML with one GPU, whose answers tests change."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from surgstream.trainer.health import gpus
from surgstream.trainer.health.gpus import NvmlGpu

UUID = "GPU-5a4c1e8f-0000-0000-0000-000000000003"
NUM_LINKS = 8


class FakeNvml:
    """Answers as `pynvml` would for a healthy H800; whatever else is asked for is pynvml's own.

    Attributes:
        answers: By the name of the function; an error is raised.
        xids: Errors that wait in the queue of events.
        links_down: NVLinks that are down, of eight; to ask for further ones is an error.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlDeviceGetIndex": 3,
            "nvmlDeviceGetUUID": UUID,
            "nvmlDeviceGetName": "NVIDIA H800",
            "nvmlDeviceGetTotalEccErrors": 0,
            "nvmlDeviceGetRemappedRows": (0, 0, 0, 0),
            "nvmlDeviceGetFieldValues": [recovery(pynvml.NVML_GPU_RECOVERY_ACTION_NONE)],
            "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonSwPowerCap,
            "nvmlDeviceGetCurrPcieLinkGeneration": 5,
            "nvmlDeviceGetMaxPcieLinkGeneration": 5,
            "nvmlDeviceGetCurrPcieLinkWidth": 16,
            "nvmlDeviceGetMaxPcieLinkWidth": 16,
            "nvmlDeviceGetTotalEnergyConsumption": 1_000_000,
            "nvmlEventSetCreate": "events",
            "nvmlDeviceRegisterEvents": None,
        }
        self.xids: list[int] = []
        self.links_down: set[int] = set()

    def nvmlDeviceGetNvLinkState(self, handle: Any, link: int) -> int:
        if link >= NUM_LINKS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return pynvml.NVML_FEATURE_DISABLED if link in self.links_down else 1

    def nvmlEventSetWait_v2(self, events: Any, milliseconds: int) -> Any:
        if not self.xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return SimpleNamespace(eventData=self.xids.pop(0))

    def __getattr__(self, name: str) -> Any:
        if name not in self.answers:
            return getattr(pynvml, name)

        def answer(*_: Any) -> Any:
            found = self.answers[name]
            if isinstance(found, Exception):
                raise found
            return found

        return answer

    def refuse(self, *names: str) -> None:
        """Answer these questions as a driver does that does not know them; without a name, all but the GPU's own."""
        for name in names or [name for name in self.answers if name.startswith("nvmlDeviceGet")]:
            if name not in ("nvmlDeviceGetIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetName"):
                self.answers[name] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def recovery(action: int) -> Any:
    """The field that says what the driver wants done."""
    return SimpleNamespace(nvmlReturn=pynvml.NVML_SUCCESS, value=SimpleNamespace(uiVal=action))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """What `trainer.health.gpus` takes for NVML."""
    fake = FakeNvml()
    monkeypatch.setattr(gpus, "pynvml", fake)
    return fake


@pytest.fixture
def gpu(nvml: FakeNvml) -> NvmlGpu:
    """Its GPU."""
    return NvmlGpu("handle")
