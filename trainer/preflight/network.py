"""The network between ranks."""

import time

import torch
import torch.distributed as dist

from surgstream.trainer.errors import PreflightError

_GPU_BYTES = 256 * 2**20
_CPU_BYTES = 8 * 2**20
"""Sizes that are large enough for bandwidth to count and not latency, and small against a model."""


def bus_gb_per_second(device: torch.device, seconds: float) -> float:
    """Bus bandwidth of an all-reduce over all ranks, in GB/s, as nccl-tests define it; 0 for a single rank.

    With n ranks, each link carries 2 (n - 1) / n of the bytes that are reduced, so that the number can be held against
    the hardware's, whatever n is.

    Args:
        device: The device that holds the bytes.
        seconds: The time to measure, about.

    Raises:
        PreflightError: The sum is wrong.
    """
    ranks = dist.get_world_size()
    if ranks == 1:
        return 0.0

    num_bytes = _GPU_BYTES if device.type == "cuda" else _CPU_BYTES
    values = torch.ones(num_bytes // 4, device=device)
    dist.all_reduce(values)  # the first one connects
    if not bool((values == ranks).all()):
        raise PreflightError(
            f"an all-reduce of ones over {ranks} ranks did not give {ranks}; the network loses data"
        )

    # Ranks measure different speeds but must reduce equally often, or some wait in vain.
    rounds = torch.tensor([seconds / _seconds(values, 1)], device=device)
    dist.broadcast(rounds, 0)
    times = max(1, int(rounds.item()))
    rate = num_bytes * times / _seconds(values, times)
    return rate * 2 * (ranks - 1) / ranks / 1e9


def _seconds(values: torch.Tensor, times: int) -> float:
    values.zero_()
    _wait(values.device)
    started = time.perf_counter()
    for _ in range(times):
        dist.all_reduce(values)
    _wait(values.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
