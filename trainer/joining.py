"""Joins the ranks of a run, and logs which of them are missing."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from surgstream.trainer.distributed import RankInfo, check_own_number, collective_timeout
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.host.cores import bind_near
from surgstream.trainer.host.interface import choose_interface, interface_in_words
from surgstream.trainer.host.limits import raise_file_limit
from surgstream.trainer.host.names import in_words

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0
"""Time that rank 0 waits before it logs which ranks are missing."""

_POLL_SECONDS = 0.05


def join(rank_info: RankInfo, timeout_seconds: float) -> None:
    """Join the process group: NCCL between GPUs, gloo between CPUs. The host is made ready on the way.

    The process may open as many files as it can, and runs on the cores near its GPU.

    Args:
        rank_info: This process's place.
        timeout_seconds: The longest that a rank may make no progress before the run ends.

    Raises:
        DistributedError: The GPU of this rank does not exist, gloo was told an interface that does not, or the group
            could not be formed.
    """
    device = rank_info.device
    on_gpu = device.type == "cuda"
    raise_file_limit()
    if on_gpu:
        check_own_number(rank_info)
        torch.cuda.set_device(device)
        bind_near(device)

    # DeepSpeed reads these, whatever started the run. It takes LOCAL_RANK for the number of the GPU, which is 0 where
    # each task sees its own alone.
    os.environ.update(
        RANK=str(rank_info.rank),
        LOCAL_RANK=str(device.index if on_gpu else rank_info.local_rank),
        WORLD_SIZE=str(rank_info.world_size),
        MASTER_ADDR=rank_info.master_addr,
        MASTER_PORT=str(rank_info.master_port or _free_port()),
    )
    if not on_gpu:
        choose_interface(os.environ, rank_info.master_addr)

    # A group of one, split from a bound one, is refused by some NCCL: "CUDA error 600".
    bound = on_gpu and rank_info.world_size > 1
    try:
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=_meet(rank_info, timeout_seconds),
            rank=rank_info.rank,
            world_size=rank_info.world_size,
            timeout=collective_timeout(timeout_seconds, device),
            device_id=device if bound else None,
        )
    except (RuntimeError, ValueError) as error:
        place = f"{rank_info.master_addr}:{os.environ['MASTER_PORT']}"
        if not on_gpu:
            place += f", by gloo over {interface_in_words(os.environ)}"
        raise DistributedError(
            f"rank {rank_info.rank}: could not meet the other {rank_info.world_size - 1} ranks "
            f"at {place} ({error})"
        ) from None


def serves_store(rank_info: RankInfo) -> bool:
    """Whether this process serves the store of keys where ranks meet; under torchrun, its agent does."""
    return rank_info.is_main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


@contextmanager
def after(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` in a thread of its own if the block takes longer than this many seconds."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def telling_who_is_missing(
    rank_info: RankInfo, missing: Callable[[], set[int]]
) -> AbstractContextManager[None]:
    """Log once which ranks the block waits for, if it takes longer than nodes usually differ; for rank 0.

    Args:
        rank_info: This process's place.
        missing: Returns the ranks that have not come; called in a thread of its own.
    """

    def tell() -> None:
        with suppress(RuntimeError):  # the store is gone, which the block itself reports
            ranks = missing()
            if ranks:
                advice = _ways_out(rank_info)
                log.warning("waiting for %s of %d%s", in_words(ranks), rank_info.world_size, advice)

    return after(_PATIENCE_SECONDS, tell)


def _ways_out(rank_info: RankInfo) -> str:
    """Advise users who have started one process in a shell that is itself one of srun's tasks."""
    if "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" not in os.environ:
        return ""
    return (
        f", since srun has started {rank_info.world_size} tasks (SLURM_NTASKS); in a shell that is "
        "one of them, set SLURM_NTASKS=1 to train in this process alone, or "
        "`surgstream launch torchrun RECIPE` to use all GPUs"
    )


def _meet(rank_info: RankInfo, timeout_seconds: float) -> Store:
    """Open the store where ranks meet; rank 0 waits for all of them.

    Raises:
        RuntimeError: Rank 0 cannot be reached, or not all ranks came.
    """
    server = TCPStore(
        rank_info.master_addr,
        int(os.environ["MASTER_PORT"]),
        rank_info.world_size,
        is_master=serves_store(rank_info),
        timeout=timedelta(seconds=timeout_seconds),
        wait_for_workers=False,
        multi_tenant=True,  # a preflight may have met at the same port
    )

    # torchrun's store outlives the ranks that it restarts: each start has keys of its own.
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)
    store = PrefixStore(f"join/{restart}", server)
    names = [f"here/{rank}" for rank in range(rank_info.world_size)]
    store.set(names[rank_info.rank], "")
    if not rank_info.is_main:
        return store

    def missing() -> set[int]:
        return {rank for rank, name in enumerate(names) if not store.check([name])}

    deadline = time.monotonic() + timeout_seconds
    with telling_who_is_missing(rank_info, missing):
        while not store.check(names):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{in_words(missing())} did not come")
            time.sleep(_POLL_SECONDS)
    return store


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
