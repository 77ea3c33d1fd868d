"""The network between ranks."""

import time
from collections import Counter

import torch
import torch.distributed as dist

from surgstream.trainer.distributed import all_gather
from surgstream.trainer.errors import PreflightError

_GPU_BYTES = 256 * 2**20
_CPU_BYTES = 8 * 2**20
"""Sizes that are large enough for bandwidth to count and not latency, and small against a model."""


def node_bus_gb_per_second(device: torch.device, seconds: float, node: str) -> float:
    """Bus bandwidth inside this rank's node, while all others measure theirs; 0 where one has a single rank.

    Args:
        device: The device that holds the bytes.
        seconds: The time to measure, about.
        node: The name of this rank's node.

    Raises:
        PreflightError: The sum is wrong.
    """
    nodes = all_gather(node)
    if min(Counter(nodes).values()) == 1:
        return 0.0

    # All ranks come, each with those of its node: over NCCL, one split of the group of all
    own = [rank for rank, name in enumerate(nodes) if name == node]
    group = dist.new_group(own, use_local_synchronization=True)
    speed = bus_gb_per_second(device, seconds, group)
    dist.destroy_process_group(group)
    return speed


def bus_gb_per_second(
    device: torch.device, seconds: float, group: dist.ProcessGroup | None = None
) -> float:
    """Bus bandwidth of an all-reduce, in GB/s, as nccl-tests define it; 0 for a single rank.

    With n ranks, each link carries 2 (n - 1) / n of the bytes that are reduced, so that the number can be held against
    the hardware's, whatever n is.

    Args:
        device: The device that holds the bytes.
        seconds: The time to measure, about.
        group: The ranks; None is all.

    Raises:
        PreflightError: The sum is wrong.
    """
    ranks = dist.get_world_size(group)
    if ranks == 1:
        return 0.0

    num_bytes = _GPU_BYTES if device.type == "cuda" else _CPU_BYTES
    values = torch.ones(num_bytes // 4, device=device)
    dist.all_reduce(values, group=group)  # the first one connects
    if not bool((values == ranks).all()):
        raise PreflightError(
            f"an all-reduce of ones over {ranks} ranks did not give {ranks}; the network loses data"
        )

    # Ranks measure different speeds but must reduce equally often, or some wait in vain.
    rounds = torch.tensor([seconds / _seconds(values, 1, group)], device=device)
    dist.broadcast(rounds, group=group, group_src=0)
    times = max(1, int(rounds.item()))
    rate = num_bytes * times / _seconds(values, times, group)
    return rate * 2 * (ranks - 1) / ranks / 1e9


def _seconds(values: torch.Tensor, times: int, group: dist.ProcessGroup | None) -> float:
    values.zero_()
    _wait(values.device)
    started = time.perf_counter()
    for _ in range(times):
        dist.all_reduce(values, group=group)
    _wait(values.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
