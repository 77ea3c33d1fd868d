"""Ranks that agree when to stop and when to save, as threads with a store of keys between them."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgstream.trainer.distributed import (
    RankInfo,
    barrier,
    leave,
    rank_info_from_environment,
)
from surgstream.trainer.engine.preemption.agreement import StopConsensus, open_store
from surgstream.trainer.engine.preemption.flags import STOP_SIGNALS, SignalFlag
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.joining import join
from tests.helpers.ranks import finish, start_ranks, wait_for

SIGTERM = 15
MANY_CALLS = 10_000


class SlowStore:
    """A store of keys that answers only while its gate is open, and each time after a pause."""

    def __init__(self, store: Any, pause_seconds: float = 0.0) -> None:
        self.store = store
        self.pause_seconds = pause_seconds
        self.gate = threading.Event()
        self.gate.set()
        self.gone = False
        self.asked = threading.Event()

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            self.asked.set()
            self.gate.wait()
            if self.gone:
                raise RuntimeError("connection closed")
            time.sleep(self.pause_seconds)
            return getattr(self.store, name)(*arguments)

        return answer


@contextmanager
def agreeing(*pauses_seconds: float) -> Iterator[list[tuple[SignalFlag, StopConsensus, SlowStore]]]:
    """Ranks, each with its flag, and with a store that is as slow as said."""
    keys = dist.HashStore()
    with ExitStack() as stack:
        ranks = []
        for rank, pause_seconds in enumerate(pauses_seconds):
            flag = SignalFlag()
            store: Any = SlowStore(keys, pause_seconds)
            rank_info = RankInfo(rank=rank, world_size=len(pauses_seconds))
            agreement = stack.enter_context(closing(StopConsensus(flag, store, rank_info)))
            ranks.append((flag, agreement, store))
        yield ranks


def call_until_stopped(
    agreement: StopConsensus, step: Callable[[int], object], late_at: int, saves: list[int]
) -> int:
    """Take steps until all ranks stop, and return the call's number.

    Args:
        agreement: The rank's.
        step: What is done after each call.
        late_at: The first call at which this rank finds that it is time to save, until it has saved.
        saves: Grows by the number of each call at which to save.
    """
    for call in range(1, MANY_CALLS):
        stopped = agreement.stopping(save=not saves and call >= late_at)
        if agreement.saving:
            saves.append(call)
            agreement.saving = False
        if stopped:
            return call
        step(call)
    raise AssertionError("never stopped")


def in_threads(*actions: Any) -> list[Any]:
    """Run actions at the same time, and return their results."""
    results: list[Any] = [None] * len(actions)

    def run(number: int) -> None:
        results[number] = actions[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


SECONDS = st.sampled_from([0.0, 0.001, 0.01])


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    ranks=st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=4),
    late_at=st.integers(1, 5),
    calls_apart=st.integers(1, 4),
    data=st.data(),
)
def test_all_ranks_save_and_stop_at_the_same_calls_however_fast_each_is(
    ranks: list[tuple[float, float]], late_at: int, calls_apart: int, data: st.DataObject
) -> None:
    told = data.draw(st.sets(st.integers(0, len(ranks) - 1), min_size=1))
    saves: list[list[int]] = [[] for _ in ranks]
    collective = threading.Barrier(len(ranks))

    with agreeing(*(pause for pause, _ in ranks)) as joined:

        def run(rank: int) -> int:
            def step(call: int) -> None:
                time.sleep(ranks[rank][1])
                if call % calls_apart == 0:
                    collective.wait(30)

            late = MANY_CALLS if rank else late_at
            return call_until_stopped(joined[rank][1], step, late, saves[rank])

        def tell() -> None:
            wait_for(lambda: all(saves))
            for rank in told:
                joined[rank][0].number = SIGTERM

        *stops, _ = in_threads(*(partial(run, rank) for rank in range(len(ranks))), tell)
        causes = {agreement.cause for _, agreement, _ in joined}

    assert len(set(stops)) == 1
    assert saves == [saves[0]] * len(ranks) and len(saves[0]) == 1
    ((name, rank),) = causes
    assert name == "SIGTERM" and rank in told


def test_no_call_waits_for_a_store_that_does_not_answer() -> None:
    with agreeing(0.0, 0.0) as ((_, agreement, store), _):
        store.gate.clear()
        store.asked.clear()
        assert store.asked.wait(60)
        assert not any(agreement.stopping() for _ in range(MANY_CALLS))
        store.gate.set()


def test_a_rank_that_knows_of_a_wish_makes_no_call_before_it_is_granted() -> None:
    with agreeing(0.0, 0.0) as ((_, ahead, store), (flag, behind, _)):
        assert not any(ahead.stopping() for _ in range(9))
        store.gate.clear()
        flag.number = SIGTERM
        wait_for(lambda: store.store.check(["0/calls/1"]))

        late = threading.Thread(target=behind.stopping)
        late.start()
        late.join(0.1)
        assert late.is_alive(), "rank 0 may have made any number of calls"

        store.gate.set()
        late.join(60)
        assert not any(behind.stopping() for _ in range(8))
        assert ahead.stopping() and behind.stopping()


def test_the_call_after_rank_0_is_gone_says_so() -> None:
    with agreeing(0.0, 0.0) as (_, (_, agreement, store)):
        store.gone = True

        def call_for_ever() -> None:
            while True:
                agreement.stopping()

        with pytest.raises(DistributedError, match="rank 1: rank 0 has ended"):
            call_for_ever()


def ask(out: str) -> None:
    """On each of two ranks: when it stops after SIGUSR1 to rank 1, and what it knows of that at its next start."""
    rank_info = rank_info_from_environment(os.environ)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as torchrun's agent leaves it to its workers
    stop = SignalFlag(*STOP_SIGNALS)
    join(rank_info, 60)

    with closing(StopConsensus(stop, open_store(rank_info, 60), rank_info)) as agreement:
        if rank_info.rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        call = call_until_stopped(agreement, lambda _: barrier(), MANY_CALLS, [])
        found = [call, agreement.cause]
        barrier()

    if rank_info.rank == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    with closing(StopConsensus(stop, open_store(rank_info, 60), rank_info)) as early:
        early.ask_all()
        found += [early.stopping(), early.cause]
        barrier()
    Path(out, f"rank{rank_info.rank}.json").write_text(json.dumps(found))
    leave()


@pytest.mark.slow
def test_processes_stop_at_the_same_call_and_know_at_the_first_what_came_before(
    tmp_path: Path,
) -> None:
    assert finish(start_ranks(ask, 2, (str(tmp_path),))) == [0, 0]
    one, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert one[1:] == [["SIGUSR1", 1], True, ["SIGTERM", 0]]
