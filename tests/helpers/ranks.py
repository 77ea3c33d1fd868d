"""Run `surgstream` commands in processes of their own, as ranks of one run.

Processes are forked from a server that has imported everything once, which saves seconds a process. Each is real: it
joins a real process group, and can be killed.
"""

import gc
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "surgstream.trainer.commands.pretrain",
        "surgstream.trainer.objectives.supervised",
        "surgstream.trainer.objectives.surgmotion",
        "surgstream.trainer.objectives.surgvista",
        "surgstream.trainer.objectives.unisurg",
        "surgstream.trainer.objectives.videomae",
        "surgstream.trainer.objectives.vjepa",
        "surgstream.launch.__main__",
        # What DeepSpeed and torch import when they are first used.
        "deepspeed.runtime.zero.muon.muon_optimizer",
        "torch._inductor.compile_fx",
    ]
)


def start(words: Sequence[str], world_size: int, log: Path) -> list[BaseProcess]:
    """Start `surgstream WORDS` on every rank; their output goes to `log`.rank0 and so on."""
    return start_ranks(surgstream, world_size, (list(words), str(log)))


def start_ranks(
    action: Callable[..., None], world_size: int, arguments: tuple[Any, ...]
) -> list[BaseProcess]:
    """Start `action(*arguments)` on every rank of a new world."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        _CONTEXT.Process(
            target=_as_rank,
            args=(dict(os.environ), rank, world_size, port, action, arguments),
            daemon=True,
        )
        for rank in range(world_size)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def finish(ranks: Sequence[BaseProcess], timeout_seconds: float = 120.0) -> list[int]:
    """Wait for all ranks; kill them all when time is up. Returns their exit statuses."""
    deadline = time.monotonic() + timeout_seconds
    for rank in ranks:
        rank.join(max(0.0, deadline - time.monotonic()))
    return kill(ranks)


def kill(ranks: Sequence[BaseProcess]) -> list[int]:
    """SIGKILL whatever still runs. Returns exit statuses."""
    for rank in ranks:
        if rank.is_alive():
            rank.kill()
    for rank in ranks:
        rank.join()
    return [rank.exitcode if rank.exitcode is not None else -1 for rank in ranks]


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 90.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.0005)


@contextmanager
def process_group() -> Iterator[None]:
    """Make this process a world of its own for the length of a block."""
    from deepspeed import comm

    from surgstream.trainer.distributed import RankInfo, leave
    from surgstream.trainer.joining import join

    before = dict(os.environ)
    join(RankInfo(), 60)
    try:
        yield
    finally:
        if comm.is_initialized():  # by an engine: DeepSpeed would keep groups that are gone
            comm.destroy_process_group()
        leave()
        os.environ.clear()
        os.environ.update(before)


def _as_rank(
    environment: dict[str, str],
    rank: int,
    world_size: int,
    port: int,
    action: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    import torch

    gc.freeze()  # collections would walk, and so copy, all that the server has imported
    torch.set_num_threads(1)
    os.environ |= environment | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    action(*arguments)


def surgstream(words: list[str], log: str) -> None:
    """Run `surgstream WORDS` as this process's only task; its output goes to `log`.rankR."""
    from surgstream.launch.__main__ import main

    output = open(f"{log}.rank{os.environ['RANK']}", "w")  # noqa: SIM115 - open until the process ends
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.exit(main(words))
