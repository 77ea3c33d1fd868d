"""A GPU at work: how fast it multiplies matrices, and how it is meanwhile."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from surgstream.trainer.health.gpus import GpuHealth, NvmlGpu

GEMM_SIZE = 8192
"""Rows and columns: large enough for a GPU to be held back by nothing but its tensor cores, its power and its heat."""

_WARM_UP = 3


class GpuAtWork(NamedTuple):
    """The rate of matrix products in TFLOP/s, and the GPU's health under that load; None without NVML."""

    tflops: float
    health: GpuHealth | None


def look_at_gpu(device: torch.device, seconds: float) -> GpuAtWork | None:
    """Load this rank's GPU, and ask NVML meanwhile: an idle one lowers its clocks and its PCIe link by itself.

    Args:
        device: The device of this rank.
        seconds: The time to measure, about.

    Returns:
        None on a CPU.
    """
    if device.type != "cuda":
        return None
    health: list[GpuHealth] = []
    gpu = NvmlGpu.open(device)

    def ask() -> None:
        if gpu:
            health.append(gpu.health())

    tflops = gemm_tflops(device, seconds, meanwhile=ask)
    return GpuAtWork(tflops=tflops, health=health[0] if health else None)


def gemm_tflops(
    device: torch.device,
    seconds: float,
    *,
    size: int = GEMM_SIZE,
    meanwhile: Callable[[], None] = lambda: None,
) -> float:
    """Measure the rate of products of square bf16 matrices, in TFLOP/s.

    Args:
        device: The device.
        seconds: The time to measure, about.
        size: Rows and columns.
        meanwhile: Called while the GPU is busy; a CPU is done before.
    """
    left = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    right = torch.randn_like(left)
    product = torch.empty_like(left)

    def seconds_of(times: int, then: Callable[[], None] = lambda: None) -> float:
        # On a GPU by its own clock, so that it does not count how long the questions take
        started = _mark(device)
        for _ in range(times):
            torch.mm(left, right, out=product)
        ended = _mark(device)
        then()
        return _seconds_between(started, ended)

    # The first product chooses a kernel
    seconds_of(1)
    times = max(1, int(seconds * _WARM_UP / seconds_of(_WARM_UP)))
    return 2 * size**3 * times / seconds_of(times, meanwhile) / 1e12


def _mark(device: torch.device) -> "float | torch.Event":
    """A mark in the device's queue; on a CPU, the time."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.Event(device, enable_timing=True)
    event.record()
    return event


def _seconds_between(started: "float | torch.Event", ended: "float | torch.Event") -> float:
    """Seconds from one mark to another; waits until the device has passed both."""
    if isinstance(started, torch.Event) and isinstance(ended, torch.Event):
        ended.synchronize()
        return started.elapsed_time(ended) / 1e3
    assert isinstance(started, float) and isinstance(ended, float)
    return ended - started
