"""The simulation of ranks that agree."""

import pytest

from surgstream.benchmarks.experiments.agreement.__main__ import STEP_SECONDS
from surgstream.benchmarks.experiments.agreement.processes import measure
from surgstream.benchmarks.experiments.agreement.simulation import (
    HOP_SECONDS,
    Simulation,
    assumed_hops,
    ring_seconds,
)
from surgstream.trainer.engine.preemption.agreement import poll_seconds


def test_a_ring_costs_more_than_a_step_and_a_round_in_ten_minutes_next_to_nothing() -> None:
    assert ring_seconds(512, seed=0) > 2 * 511 * HOP_SECONDS > 2 * STEP_SECONDS
    (agreed,) = Simulation(512, 1, seed=0, hops=assumed_hops()).run()
    assert agreed.held_seconds / 600 < 0.01
    assert agreed.answer_seconds < 5


@pytest.mark.slow
def test_processes_agree_round_after_round() -> None:
    rounds, machine = measure(3, rounds=4)
    assert len(rounds) == 4 and all(0 < one.held_seconds < one.answer_seconds for one in rounds)
    assert machine["hops"] and machine["lates"]


@pytest.mark.parametrize("num_ranks", [1, 16])
def test_an_answer_takes_two_and_a_half_polls_at_most(num_ranks: int) -> None:
    rounds = Simulation(num_ranks, 50, seed=0, hops=assumed_hops()).run()
    assert len(rounds) == 50
    for one in rounds:
        assert 0 < one.held_seconds < one.answer_seconds < 2.7 * poll_seconds(num_ranks)
