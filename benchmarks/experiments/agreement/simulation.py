"""Rounds of `trainer.engine.preemption.agreement` in virtual time, and the ring all-reduce that was there before."""

import heapq
import random
import statistics
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from surgstream.trainer.engine.preemption.agreement import HELD_POLLS, poll_seconds

HOP_SECONDS = 75e-6
JITTER = 0.2
"""How much longer a message takes on average than the fastest, at exponential distances."""

SERVICE_SECONDS = 15e-6

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
