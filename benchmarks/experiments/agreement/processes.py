"""The same rounds in real processes of this machine, which share a store over the loopback."""

import multiprocessing
import random
import socket
import statistics
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from surgstream.benchmarks.experiments.agreement.simulation import SERVICE_SECONDS, Round
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.preemption.agreement import StopConsensus, poll_seconds
from surgstream.trainer.engine.preemption.flags import SignalFlag

NUM_PROBES = 200


class TimedConsensus(StopConsensus):
    """Notes when each round holds this rank, and when it lets it go."""

    held: list[tuple[float, float]]

    def _find_call(self, number: int) -> int | None:
        since = time.monotonic()
        call = super()._find_call(number)
        self.held = [*getattr(self, "held", []), (since, time.monotonic())]
        return call


def measure(num_processes: int, rounds: int) -> tuple[list[Round], dict[str, list[float]]]:
    """Let real processes agree; returns their rounds, and what `Simulation` is to be given of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(num_processes)]
    processes = []
    for rank, (_, theirs) in enumerate(pipes):
        rank_info = RankInfo(rank=rank, world_size=num_processes)
        arguments = (rank_info, port, rounds, theirs)
        processes.append(context.Process(target=take_part, args=arguments))
    for process in processes:
        process.start()

    found: list[dict[str, Any]] = [ours.recv() for ours, _ in pipes]
    for process in processes:
        process.join()

    measured = []
    for number, told_at in enumerate(found[0]["told_at"]):
        held = [one["held"][number] for one in found]
        measured.append(
            Round(
                answer_seconds=max(until for _, until in held) - told_at,
                held_seconds=statistics.fmean(until - since for since, until in held),
            )
        )
    return measured, {name: found[-1][name] for name in ("hops", "lates")}


def take_part(rank_info: RankInfo, port: int, rounds: int, pipe: Connection) -> None:
    """Be one of the processes: rank 0 wishes to save, again and again."""
    store = TCPStore(
        "127.0.0.1", port, is_master=rank_info.is_main, wait_for_workers=False,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    agreement = TimedConsensus(SignalFlag(), store, rank_info)
    agreement.held = []
    told_at: list[float] = []

    for number in range(rounds):
        if rank_info.is_main:
            time.sleep(random.uniform(1, 2) * poll_seconds(rank_info.world_size))
            told_at.append(time.monotonic())
            agreement.stopping(save=True)
        while len(agreement.held) <= number:
            time.sleep(poll_seconds(rank_info.world_size) / 2)
        if rank_info.is_main:
            agreement.stopping()  # all save
            agreement.saving = False  # it is done

    # The last one alone, while all poll.
    hops = []
    lates = []
    poll = poll_seconds(rank_info.world_size)
    for _ in range(NUM_PROBES if rank_info.rank == rank_info.world_size - 1 else 0):
        begin = time.monotonic()
        store.check(["nothing"])
        hops.append((time.monotonic() - begin - SERVICE_SECONDS) / 2)

        begin = time.monotonic()
        time.sleep(poll)
        lates.append(time.monotonic() - begin - poll)

    # The others do nothing else meanwhile.
    if rank_info.rank == rank_info.world_size - 1:
        store.set("probed", "")
    while not store.check(["probed"]):
        time.sleep(0.1)

    pipe.send({"held": agreement.held, "told_at": told_at, "hops": hops, "lates": lates})
    agreement.close()
    # Rank 0 serves the store until nobody asks it.
    store.add("done", 1)
    while rank_info.is_main and store.add("done", 0) < rank_info.world_size:
        time.sleep(0.01)
