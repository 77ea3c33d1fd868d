"""Accelerator utilisation: the share of its time that a consumer of batches computes, and its fastest useful step."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from surgstream.benchmarks.support.harness import ImplausibleError
from surgstream.trainer.runs.plot import Line, Panel, draw

LEAST = 0.95
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Drive:
    """The times of a consumer that takes a batch, computes for a given time, and repeats that.

    Attributes:
        step_seconds: Time that it computes on a batch.
        seconds: From its first step's computing to the end of its last one's.
        waits: Seconds that it waited for each batch but the first.
    """

    step_seconds: float
    seconds: float
    waits: tuple[float, ...]

    @property
    def utilisation(self) -> float:
        """AU as MLPerf Storage defines it, as a share: time computed over time in all, without the first batch's I/O.

        MLPerf Storage Benchmark Rules v2.0, section 4: AU = total_compute_time / total_benchmark_running_time, where
        the I/O of the first step is excluded and compute time is the number of steps times the time of one, so that a
        consumer that wakes late has waited.

        Raises:
            ImplausibleError: It computed for longer than it ran.
        """
        computed = (len(self.waits) + 1) * self.step_seconds
        share = computed / self.seconds
        if share > 1 + _ROUNDING:
            raise ImplausibleError(
                f"accelerator utilisation: expected at most 1, got {share:.4f}: {computed:.4f} s "
                f"of computing in {self.seconds:.4f} s; the clock or the consumer is wrong"
            )
        return min(share, 1.0)


def drive(batches: Iterator[object], step_seconds: float, num_steps: int, *, queued: int) -> Drive:
    """Consume batches as an accelerator that is busy for a given time each step would; the process sleeps instead.

    Args:
        batches: The loader.
        step_seconds: Time a step.
        num_steps: Steps to take.
        queued: Batches that may lie ready. They are taken before, so that nothing made earlier counts.
    """
    for _ in range(queued + 1):
        next(batches)

    waits = []
    began = asked = time.perf_counter()
    # The first step computes on the last batch that was taken above
    for step in range(num_steps):
        if step:
            next(batches)
            waits.append(time.perf_counter() - asked)
        time.sleep(step_seconds)
        asked = time.perf_counter()

    return Drive(step_seconds, asked - began, tuple(waits))


def shortest_step(
    utilisation: Callable[[float], float], fast: float, slow: float, *, probes: int
) -> float:
    """Find the shortest step at which utilisation is LEAST, by bisection.

    Args:
        utilisation: Measures it at a step of the given seconds; grows with them.
        fast: A step that is too short.
        slow: A step that should be long enough; where it is not, the search goes on beyond it.
        probes: The number of measurements, which bounds the time that it takes.

    Returns:
        The shortest step that was seen to do, in seconds; infinity where none did.
    """
    found = math.inf
    for _ in range(probes):
        # Beyond `slow` as long as no step has done; then by halves
        step = slow if math.isinf(found) else (fast + found) / 2
        if utilisation(step) >= LEAST:
            found = step
        else:
            fast = step
            slow = 2 * slow

    return found


def plot(points: Sequence[tuple[float, float]], top: float) -> str:
    """Draw utilisation over the consumer's rate, and what a loader of constant speed would give, as an SVG file's text.

    Args:
        points: Rates in clips a second and utilisation there, in any order.
        top: The loader's own rate, in clips a second.
    """
    # Faster than the loader, a consumer computes for `top / rate` of its time
    end = max(top, *(rate for rate, _ in points))
    faster = [top + step / 20 * (end - top) for step in range(21)]
    constant = [(0.0, 1.0), *((rate, top / rate) for rate in faster)]

    lines = [
        Line(f"a loader of constantly {top:,.0f} clips/s", constant, is_reference=True),
        Line("measured", sorted(points)),
    ]
    panel = Panel(
        title="accelerator utilisation, a share",
        across="clips/s that the consumer asks for",
        lines=lines,
        limit=(LEAST, f"{LEAST}"),
        is_logarithmic=False,
    )
    return draw(
        "Accelerator utilisation over the consumer's rate",
        "as MLPerf Storage defines it: time computed over time in all, without the first batch",
        [panel],
        width=760,
        height=300,
    )
