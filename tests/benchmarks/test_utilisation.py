"""On a made-up clock, so that nothing here depends on the machine."""

import itertools
import math
from collections.abc import Iterator

import pytest

from surgstream.benchmarks.support import utilisation
from surgstream.benchmarks.support.harness import ImplausibleError
from surgstream.benchmarks.support.utilisation import Drive, drive, plot, shortest_step


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made_up = Clock()
    monkeypatch.setattr(utilisation, "time", made_up)
    return made_up


def loader(clock: Clock, seconds: float, *, queue: int) -> Iterator[int]:
    """Needs so long for a batch, and works ahead by so many; as many lie ready at the beginning."""
    ready, made = queue, clock.now
    for number in itertools.count():
        while ready < queue and made + seconds <= clock.now:
            made, ready = made + seconds, ready + 1
        if ready == queue:
            made = clock.now
        if not ready:
            made = clock.now = made + seconds
            ready = 1
        ready -= 1
        yield number


def test_utilisation_is_computing_over_everything_but_the_first_wait() -> None:
    assert Drive(2.0, 10.0, (0.5, 0.5, 1.0)).utilisation == 0.8
    assert Drive(2.0, 8.0, (0.0, 0.0, 0.0)).utilisation == 1.0


def test_more_than_all_of_the_time_is_an_error() -> None:
    with pytest.raises(
        ImplausibleError,
        match=r"expected at most 1, got 1\.1429: 8\.0000 s of computing in 7\.0000 s",
    ):
        _ = Drive(2.0, 7.0, (0.0, 0.0, 0.0)).utilisation


def test_waits_are_those_between_steps(clock: Clock) -> None:
    seen = drive(loader(clock, 3.0, queue=3), 2.0, 4, queued=3)
    assert seen.waits == (1.0, 1.0, 1.0), (
        "a step of 2 s waits 1 s for a batch of 3 s, but for the first"
    )
    assert seen.seconds == 11.0 and seen.utilisation == 8 / 11


def test_what_lay_ready_counts_for_nothing(clock: Clock) -> None:
    seen = drive(loader(clock, 3.0, queue=3), 0.0, 5, queued=3)
    assert seen.seconds == 12.0, "four batches of 3 s, and not the three that were queued"


@pytest.mark.parametrize("batch_seconds", [0.1, 1.0, 7.0])
def test_bisection_finds_the_rate_of_a_loader(clock: Clock, batch_seconds: float) -> None:
    def measured(step_seconds: float) -> float:
        return drive(loader(clock, batch_seconds, queue=3), step_seconds, 500, queued=3).utilisation

    step = shortest_step(measured, 0.8 * batch_seconds, 1.5 * batch_seconds, probes=12)
    assert measured(step) >= 0.95
    assert step == pytest.approx(0.95 * batch_seconds, rel=0.01), (
        "a consumer faster than its loader by 1 / 0.95"
    )


def test_bisection_goes_beyond_a_step_that_was_thought_long_enough() -> None:
    assert shortest_step(lambda step: min(1.0, step / 10), 1.0, 2.0, probes=20) == pytest.approx(
        9.5, rel=0.01
    )


def test_bisection_ends_where_nothing_is_enough() -> None:
    asked = []
    assert math.isinf(shortest_step(lambda step: asked.append(step) or 0.5, 1.0, 2.0, probes=5))
    assert asked == [2.0, 4.0, 8.0, 16.0, 32.0]


def test_the_plot_shows_every_point() -> None:
    assert plot([(50.0, 1.0), (120.0, 0.8), (100.0, 0.93)], 100.0).count("<circle") == 3
