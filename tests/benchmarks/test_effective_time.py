"""The effective training time ratio: its formula, the interval that is best, and runs that fail event by event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.benchmarks.experiments.effective_time import simulate
from surgstream.trainer.estimates import (
    Failures,
    best_interval,
    effective_ratio,
    effective_time,
)

FAILURES = Failures(start_seconds=900, restore_seconds=120, save_seconds=60)


def test_runs_that_fail_event_by_event_are_as_effective_as_the_formula_expects() -> None:
    mttf = FAILURES.mttf_seconds(4096)
    interval = best_interval(FAILURES.save_seconds, mttf)
    simulated = simulate(interval, FAILURES, mttf, seed=0)
    assert simulated == pytest.approx(effective_ratio(interval, FAILURES, mttf), rel=0.02)


@given(mttf_hours=st.floats(0.1, 1e4), save_seconds=st.floats(0.01, 100), factor=st.floats(0.1, 10))
def test_no_other_interval_is_better_than_the_best(
    mttf_hours: float, save_seconds: float, factor: float
) -> None:
    mttf = 3600 * mttf_hours
    failures = Failures(start_seconds=10, restore_seconds=0, save_seconds=save_seconds)
    best = best_interval(save_seconds, mttf)
    found = effective_ratio(best, failures, mttf)
    assert 0 < found < 1
    # The estimate is a series, which a save of a third of the time to failure leaves 0.1 % from the optimum.
    assert effective_ratio(factor * best, failures, mttf) <= 1.001 * found


def test_without_failures_only_saves_take_time() -> None:
    assert effective_ratio(540, FAILURES, 1e12) == pytest.approx(0.9)


@pytest.mark.parametrize("save_seconds", [1e-3, 1e6])
def test_what_fails_all_the_time_gets_nowhere(save_seconds: float) -> None:
    hopeless = Failures(
        mttf_hours=1e-3, start_seconds=1e6, restore_seconds=0, save_seconds=save_seconds
    )
    assert effective_time(hopeless, 8, None)["best_ratio"] == 0


def test_failures_are_as_many_as_gpus() -> None:
    assert FAILURES.mttf_seconds(1024) == pytest.approx(7.9 * 3600)
    assert FAILURES.mttf_seconds(64) == pytest.approx(16 * 7.9 * 3600)
