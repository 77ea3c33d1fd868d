"""A process of a run, from its start to its end: log, watchdog, ownership of the run directory, the other ranks."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from surgstream.trainer.compile_caches import keep_on_node
from surgstream.trainer.device import check_own_gpu
from surgstream.trainer.distributed import (
    RankInfo,
    alone_when_failing,
    leave,
    rank_info_from_environment,
)
from surgstream.trainer.engine.guards.watchdog import Watchdog
from surgstream.trainer.engine.loop import Guards
from surgstream.trainer.engine.preemption.agreement import StopConsensus, open_store
from surgstream.trainer.engine.preemption.flags import SignalFlag, StopFlag
from surgstream.trainer.engine.profile import Profiler, record_flights
from surgstream.trainer.host.names import node_name
from surgstream.trainer.joining import join
from surgstream.trainer.runs.files import stacks_file
from surgstream.trainer.session.directory import owned_run
from surgstream.trainer.session.log import configure_logging
from surgstream.trainer.session.meter import Meter

log = logging.getLogger(__name__)

Join = Callable[[RankInfo], RankInfo]
"""Joins the process group, and may find out more about the ranks on the way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """This process in a run that all ranks have joined.

    Attributes:
        rank_info: Its place.
        make_guards: Makes what watches over the run, right before its first step; collective.
    """

    rank_info: RankInfo
    make_guards: Callable[[], Guards]


@contextmanager
def starting() -> Iterator[RankInfo]:
    """Find this process's place and log from it; a failure in the block is logged once, and ends the process."""
    keep_on_node(os.environ)
    rank_info = rank_info_from_environment(os.environ)
    configure_logging(rank_info)
    with alone_when_failing(rank_info):
        yield rank_info


@contextmanager
def session(
    run_dir: Path,
    rank_info: RankInfo,
    timeout_seconds: float,
    *,
    check: Callable[[], object] = lambda: None,
    join_ranks: Join | None = None,
) -> Iterator[Session]:
    """Own the run directory, join the other ranks, and leave them at the end.

    Args:
        run_dir: The run's directory.
        rank_info: This process's place.
        timeout_seconds: The longest that a rank may make no progress before the run ends.
        check: Raises what would fail anyway, before the ranks wait for each other.
        join_ranks: Joins the process group in another way than `join`, as preflight does.

    Raises:
        OwnedError: Another run is in the directory.
        DistributedError: The ranks could not meet.
    """
    began = time.monotonic()
    launcher = os.getppid()
    # Before the watchdog, which chains SIGUSR2 on to the handler that it finds.
    profile = SignalFlag(signal.SIGUSR2)
    who = f"rank {rank_info.rank}/{rank_info.world_size} on {node_name()}"
    watchdog = Watchdog(timeout_seconds, who)

    with closing(watchdog), owned_run(run_dir, rank_info, watchdog) as check_owner:
        # From here on there is something to save; until then a signal ends this process.
        launched = rank_info.world_size > 1 or "RANK" in os.environ
        stop = StopFlag(launcher if launched else None, speaks=rank_info.is_main)
        check()
        if rank_info.device.type == "cuda":
            record_flights(run_dir, rank_info)

        if join_ranks:
            rank_info = join_ranks(rank_info)
        else:
            check_own_gpu(rank_info)
            watchdog.beat()  # NCCL connects without a timeout
            join(rank_info, timeout_seconds)

        # Only now do the other ranks know that the run directory is theirs.
        if not rank_info.is_main:
            watchdog.write_to(stacks_file(run_dir, rank_info.rank))
        watchdog.beat()
        meter = Meter(rank_info, began)

        def make_guards() -> Guards:
            return Guards(
                agreement=_agreement(stop, rank_info, timeout_seconds),
                watchdog=watchdog,
                profiler=Profiler(profile, rank_info, run_dir),
                check_owner=check_owner,
            )

        yield Session(rank_info=rank_info, make_guards=make_guards)
        meter.keep(run_dir)
        leave()


def _agreement(stop: StopFlag, rank_info: RankInfo, timeout_seconds: float) -> StopConsensus:
    # The watchdog ends a rank that hangs before the others give up on it.
    store = open_store(rank_info, 2 * timeout_seconds)
    return StopConsensus(stop, store, rank_info)
