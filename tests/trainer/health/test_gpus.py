from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from surgstream.trainer.health.gemm import gemm_tflops, look_at_gpu
from surgstream.trainer.health.gpus import GpuHealth, NvmlGpu, PcieLink
from tests.trainer.health.nvml import UUID, FakeNvml, recovery

HEALTHY = GpuHealth(
    index=3,
    uuid=UUID,
    name="NVIDIA H800",
    uncorrected_errors=0,
    remap_pending=False,
    remap_failed=False,
    recovery="",
    slowdown="",
    num_links=8,
    pcie=PcieLink(generation=5, width=16),
    pcie_best=PcieLink(generation=5, width=16),
)


def test_a_healthy_gpu_that_its_power_limit_holds_back(gpu: NvmlGpu) -> None:
    assert gpu.health() == HEALTHY
    assert gpu.joules() == 1000.0


@pytest.mark.parametrize(
    ("question", "answer", "field", "expected"),
    [
        ("nvmlDeviceGetTotalEccErrors", 2, "uncorrected_errors", 2),
        ("nvmlDeviceGetRemappedRows", (0, 0, 1, 0), "remap_pending", True),
        ("nvmlDeviceGetRemappedRows", (0, 0, 0, 1), "remap_failed", True),
        (
            "nvmlDeviceGetFieldValues",
            [recovery(pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT)],
            "recovery",
            "reboot the node",
        ),
        (
            "nvmlDeviceGetFieldValues",
            [recovery(99)],
            "recovery",
            "see nvidia-smi -q (recovery action 99)",
        ),
        (
            "nvmlDeviceGetFieldValues",
            [SimpleNamespace(nvmlReturn=pynvml.NVML_ERROR_NOT_SUPPORTED)],
            "recovery",
            None,
        ),
        (
            "nvmlDeviceGetCurrentClocksEventReasons",
            pynvml.nvmlClocksEventReasonHwSlowdown
            | pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
            "slowdown",
            "the power supply's brake",
        ),
        ("nvmlDeviceGetCurrPcieLinkWidth", 8, "pcie", PcieLink(generation=5, width=8)),
    ],
)
def test_what_nvml_says_is_passed_on(
    question: str, answer: Any, field: str, expected: Any, nvml: FakeNvml, gpu: NvmlGpu
) -> None:
    nvml.answers[question] = answer
    assert getattr(gpu.health(), field) == expected


def test_links_are_counted_among_those_that_the_model_has(nvml: FakeNvml, gpu: NvmlGpu) -> None:
    nvml.links_down = {0, 5}
    assert gpu.health().num_links == 6


def test_an_error_is_told_once_and_a_program_s_own_never(nvml: FakeNvml, gpu: NvmlGpu) -> None:
    nvml.xids = [79, 13, 48]
    assert gpu.health().xids == (79, 48)
    assert gpu.health().xids == ()


def test_what_a_driver_does_not_tell_is_not_claimed(
    nvml: FakeNvml, gpu: NvmlGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.refuse()
    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetNvLinkState", lambda *_: refuse())
    assert gpu.health() == GpuHealth(index=3, uuid=UUID, name="NVIDIA H800")
    assert gpu.joules() is None

    nvml.refuse("nvmlDeviceRegisterEvents")
    nvml.xids = [79]
    assert NvmlGpu("handle").health().xids == (), "nobody watched"


def refuse() -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.mark.parametrize("question", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_there_may_be_no_nvml_or_a_part_of_a_gpu(
    question: str, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="5a4c1e8f")
    )
    nvml.answers["nvmlDeviceGetHandleByUUID"] = "handle"
    device = torch.device("cuda", 0)
    assert NvmlGpu.open(device)
    nvml.answers[question] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    assert NvmlGpu.open(device) is None


def test_a_cpu_has_no_health() -> None:
    assert NvmlGpu.open(torch.device("cpu")) is None
    assert look_at_gpu(torch.device("cpu"), 1.0) is None


def test_matrix_products_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # A product takes a second of this clock, its first one too
    now = 0.0
    products = 0
    mm = torch.mm

    def slow_mm(*arguments: Any, **options: Any) -> Any:
        nonlocal now, products
        now += 1.0
        products += 1
        return mm(*arguments, **options)

    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr(torch, "mm", slow_mm)
    asked: list[int] = []
    rate = gemm_tflops(torch.device("cpu"), 10.0, size=16, meanwhile=lambda: asked.append(products))
    assert rate == pytest.approx(2 * 16**3 / 1e12), "one product a second"
    assert asked == [1 + 3 + 10], "after the first, three to learn how long one takes, and ten"


@pytest.fixture
def busy() -> Iterator[tuple[float, GpuHealth | None]]:
    found = look_at_gpu(torch.device("cuda", 0), 0.5)
    assert found
    yield found


@pytest.mark.gpu
def test_a_gpu_tells_its_health_and_energy_under_load(
    busy: tuple[float, GpuHealth | None],
) -> None:
    tflops, health = busy
    assert tflops > 1
    assert health and health.uuid.startswith("GPU-") and health.pcie
    assert torch.cuda.get_device_name(0) == health.name

    gpu = NvmlGpu.open(torch.device("cuda", 0))
    assert gpu
    before = gpu.joules()
    look_at_gpu(torch.device("cuda", 0), 0.5)
    after = gpu.joules()
    assert before and after and after > before
