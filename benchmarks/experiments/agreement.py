"""What it costs ranks to agree when to stop or save: an event simulation, and real processes of this machine.

`python -m surgstream.benchmarks.experiments.agreement [--processes 16] [--rounds 100] [--save FOLDER]` simulates rounds
of `trainer.engine.preemption.agreement` on 16 to 1,024 ranks, whose messages take 75 us and now and then longer, beside
the ring all-reduce at every step that was there before. Then it measures the same rounds in real processes that share a
store over the loopback, and compares them with a simulation of as many ranks, whose messages take as long, and whose
threads wake up as late, as theirs. It wants a machine that nothing else uses.
"""

import argparse
import heapq
import json
import multiprocessing
import random
import socket
import statistics
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.preemption.agreement import HELD_POLLS, StopConsensus, poll_seconds
from surgstream.trainer.engine.preemption.flags import SignalFlag

RANKS = (16, 64, 128, 256, 512, 1024)
HOP_SECONDS = 75e-6
JITTER = 0.2
"""How much longer a message takes on average than the fastest, at exponential distances."""

SERVICE_SECONDS = 15e-6
NUM_PROBES = 200
STEP_SECONDS = 0.037
"""A step of SurgVISTA with micro-batches of 4, as predicted for an H800."""

SECONDS_BETWEEN_WISHES = 600.0
"""With `checkpoint.every_minutes: 10`."""

Process = Generator[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Round:
    """A round of agreement.

    Attributes:
        answer_seconds: From the signal to where the last rank knows the call at which all stop.
        held_seconds: How long a rank may make no call, the mean over ranks.
    """

    answer_seconds: float
    held_seconds: float


class Simulation:
    """Ranks and rank 0's store, in virtual time: a store answers one request after another."""

    def __init__(
        self,
        num_ranks: int,
        rounds: int,
        seed: int,
        *,
        hops: Sequence[float],
        lates: Sequence[float] = (0.0,),
    ) -> None:
        """Set out ranks that poll at times of their own.

        Args:
            num_ranks: Number of ranks.
            rounds: Number of rounds, each of which begins one or two polls after the last one.
            seed: Decides the times.
            hops: Seconds that messages take; each takes one of these.
            lates: Seconds by which sleepers wake up late; each by one of these.
        """
        self.num_ranks = num_ranks
        self.hops = hops
        self.lates = lates
        self.random = random.Random(seed)
        self.poll = poll_seconds(num_ranks)
        self.store_free_at = 0.0

        # Of each round.
        self.told_at = [self.random.uniform(1, 2) * self.poll]
        self.num_held = [0] * rounds
        self.known_at = [0.0] * rounds
        self.held_seconds = [0.0] * rounds

        # Keys of the store, by round.
        self.wished: set[int] = set()
        self.granted: set[int] = set()

    def run(self) -> list[Round]:
        """Let every rank go through all rounds."""
        processes = [self.rank(number) for number in range(self.num_ranks)]
        waiting = [(next(process), number) for number, process in enumerate(processes)]
        heapq.heapify(waiting)

        while waiting:
            now, number = heapq.heappop(waiting)
            with suppress(StopIteration):
                heapq.heappush(waiting, (processes[number].send(now), number))
        times = zip(self.told_at, self.known_at, self.held_seconds, strict=False)
        return [
            Round(answer_seconds=known_at - told_at, held_seconds=held / self.num_ranks)
            for told_at, known_at, held in times
        ]

    def rank(self, number: int) -> Process:
        """One rank's thread; yields when it goes on, and is sent that time."""
        now = yield self.random.uniform(0, self.poll)
        for this in range(len(self.known_at)):
            now = yield from self.find_wish(this, number, now)
            now = held_at = yield from self.ask(now)
            now = yield from self.find_call(this, number, now)

            self.known_at[this] = now
            self.held_seconds[this] += now - held_at
            if number == 0:
                self.told_at.append(now + self.random.uniform(1, 2) * self.poll)
        return now

    def find_wish(self, this: int, number: int, now: float) -> Process:
        """Poll for a round's wish, which rank 0 has once it is told."""
        found = False
        pause = self.poll * (number + 1) / self.num_ranks
        while not found:
            now = yield self.woken(now, pause)
            pause = self.poll
            if number == 0 and now >= self.told_at[this]:
                now = yield from self.arrive(now)
                self.wished.add(this)
                now = yield now + self.hop()
            now = yield from self.arrive(now)
            found = this in self.wished
            now = yield now + self.hop()
        return now

    def find_call(self, this: int, number: int, now: float) -> Process:
        """Say that this rank is held, and wait until rank 0, when all are, has granted the wish."""
        now = yield from self.arrive(now)
        self.num_held[this] += 1
        now = yield now + self.hop()

        if number == 0:
            all_held = False
            while not all_held:
                now = yield from self.arrive(now)
                all_held = self.num_held[this] == self.num_ranks
                now = yield now + self.hop()
                if not all_held:
                    now = yield self.woken(now, self.poll / HELD_POLLS)
            # All calls are read, and the largest is written.
            now = yield from self.ask(now)
            now = yield from self.arrive(now)
            self.granted.add(this)
            now = yield now + self.hop()

        granted = False
        while not granted:
            now = yield from self.arrive(now)
            granted = this in self.granted
            now = yield now + self.hop()
            if not granted:
                now = yield self.woken(now, self.poll / HELD_POLLS)
        return (yield from self.ask(now))

    def ask(self, now: float) -> Process:
        """A request to the store and its answer."""
        now = yield from self.arrive(now)
        return (yield now + self.hop())

    def arrive(self, now: float) -> Process:
        """A request on its way, until the store deals with it."""
        now = yield now + self.hop()
        self.store_free_at = max(now, self.store_free_at) + SERVICE_SECONDS
        return (yield self.store_free_at)

    def woken(self, now: float, seconds: float) -> float:
        """When a thread that sleeps goes on."""
        return now + seconds + self.random.choice(self.lates)

    def hop(self) -> float:
        """The time of one message."""
        return self.random.choice(self.hops)


def assumed_hops(seed: int = 0) -> list[float]:
    """Seconds that messages take between nodes, as assumed."""
    draws = random.Random(seed)
    return [HOP_SECONDS * (1 + draws.expovariate(1 / JITTER)) for _ in range(10_000)]


def ring_seconds(num_ranks: int, seed: int) -> float:
    """The time of one ring all-reduce: 2 (n - 1) messages of every rank, each after its neighbour's."""
    draws = random.Random(seed)
    hops = assumed_hops()
    ready = [0.0] * num_ranks
    for _ in range(2 * (num_ranks - 1)):
        taken = draws.choices(hops, k=num_ranks)
        sent = [at + hop for at, hop in zip(ready, taken, strict=True)]
        ready = [max(sent[rank - 1], at) for rank, at in enumerate(ready)]
    return max(ready)


def first_rounds(num_ranks: int, repeats: int = 20) -> Round:
    """The median of rounds that find the ranks polling at unrelated times, as after a long time without a wish."""
    rounds: list[Round] = []
    for seed in range(repeats):
        rounds += Simulation(num_ranks, 1, seed, hops=assumed_hops()).run()
    return median_of(rounds)


def median_of(rounds: Sequence[Round]) -> Round:
    """The median of rounds."""
    return Round(
        answer_seconds=statistics.median(one.answer_seconds for one in rounds),
        held_seconds=statistics.median(one.held_seconds for one in rounds),
    )


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


def table(simulated: dict[int, Round], rings: dict[int, float]) -> str:
    """Lay the simulation out as Markdown."""
    rows = [("ranks", "ring, ms a step", "answer s", "held s", "of a step, ring", "of a step, now")]
    for number, one in simulated.items():
        row = (
            f"{number:,}",
            f"{1e3 * rings[number]:.1f}",
            f"{one.answer_seconds:.2f}",
            f"{one.held_seconds:.2f}",
            f"{100 * max(rings[number] / STEP_SECONDS - 1, 0):.0f} %",
            f"{100 * one.held_seconds / SECONDS_BETWEEN_WISHES:.2f} %",
        )
        rows.append(row)
    return markdown(rows, left=0)


def main() -> int:
    """Simulate, measure, compare, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16, metavar="N")
    parser.add_argument("--rounds", type=int, default=100, metavar="N")
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    words = parser.parse_args()

    # First, while this process has no threads.
    rounds, machine = measure(words.processes, words.rounds)
    measured = median_of(rounds)
    same = median_of(Simulation(words.processes, words.rounds, seed=0, **machine).run())

    simulated = {number: first_rounds(number) for number in RANKS}
    rings = {number: ring_seconds(number, seed=0) for number in RANKS}
    print(table(simulated, rings))
    hop, late = (statistics.median(values) for values in machine.values())
    print(
        f"\n{words.processes} processes: {measured}; {1e6 * hop:.0f} us a hop, {1e3 * late:.1f} ms late"
    )
    print(f"simulated with that: {same}")
    print(f"measured over simulated: {measured.answer_seconds / same.answer_seconds:.3f}")

    if words.save:
        path = words.save / f"agreement_cpu_{time.strftime('%Y%m')}.json"
        tree = {
            **conditions(),
            "simulated": {number: asdict(one) for number, one in simulated.items()},
            "ring_seconds": rings,
            "machine": machine,
            "measured": [asdict(one) for one in rounds],
            "simulated_as_measured": asdict(same),
        }
        write_atomically(path, json.dumps(tree, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
