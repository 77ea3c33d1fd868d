"""Accelerator utilisation: which share of its time a consumer of batches computes, and how fast it may compute."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from surgstream.benchmarks.support.harness import ImplausibleError
from surgstream.launch.scaling import STYLE

LEAST = 0.95
_ROUNDING = 1e-6
_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 716, 84, 320


@dataclass(frozen=True)
class Drive:
    """What happened to a consumer that took a batch, computed for a given time, and so on.

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
                f"accelerator utilisation: expected at most 1, got {share:.4f}: {computed:.4f} s of computing in "
                f"{self.seconds:.4f} s; the clock or the consumer is wrong"
            )
        return min(share, 1.0)


def drive(batches: Iterator[object], step_seconds: float, num_steps: int, *, queued: int) -> Drive:
    """Consume batches as an accelerator would that is busy for a given time a step; it sleeps meanwhile.

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
        utilisation: Measures it at a step of so many seconds; grows with them.
        fast: A step that is too short.
        slow: A step that should be long enough; where it is not, the search goes on beyond it.
        probes: How often to measure; bounds the time that it takes.

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
            fast, slow = step, 2 * slow

    return found


def plot(points: Sequence[tuple[float, float]], top: float) -> str:
    """Draw utilisation over the consumer's rate, beside what a loader of even speed would give, as an SVG file's text.

    Args:
        points: Rates in clips a second and utilisation there, in any order.
        top: The loader's own rate, in clips a second.
    """
    end = 1.05 * max(rate for rate, _ in points)

    def x(rate: float) -> float:
        return _LEFT + rate / end * (_RIGHT - _LEFT)

    def y(share: float) -> float:
        return _BOTTOM - share * (_BOTTOM - _TOP)

    # Faster than the loader, a consumer computes for `top / rate` of its time
    falling = [top + i / 20 * (end - top) for i in range(21)]
    even = "L".join(f"{x(rate):.1f} {y(top / rate):.1f}" for rate in falling)
    measured = "L".join(f"{x(rate):.1f} {y(share):.1f}" for rate, share in sorted(points))

    marks = [
        '<rect class="page" width="100%" height="100%"/>',
        f'<text class="title" x="{_LEFT}" y="34">Accelerator utilisation over its rate</text>',
        f'<text x="{_LEFT}" y="55">dashed: a loader that always gives {top:,.0f} clips/s, and AU of {LEAST}</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 14}" text-anchor="middle">clips/s that it asks for</text>',
        *(
            f'<text x="{_LEFT - 10}" y="{y(share) + 4:.1f}" text-anchor="end">{share:g}</text>'
            for share in (0, 0.5, 1)
        ),
        *(f'<path class="grid" d="M{_LEFT} {y(share):.1f}H{_RIGHT}"/>' for share in (0, 0.5, 1)),
        f'<path class="ideal" d="M{_LEFT} {y(LEAST):.1f}H{_RIGHT}"/>',
        f'<path class="ideal" d="M{_LEFT} {y(1):.1f}H{x(top):.1f}L{even}"/>',
        f'<path class="measured" d="M{measured}"/>',
        *(
            f'<circle class="dot" cx="{x(rate):.1f}" cy="{y(share):.1f}" r="4.5"/>'
            for rate, share in points
        ),
        *(
            f'<text x="{x(share * top):.1f}" y="{_BOTTOM + 24}" text-anchor="middle">{share * top:,.0f}</text>'
            for share in (0.5, 1)
        ),
    ]

    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    return "\n".join(
        [svg, f"  <style>{STYLE}\n  </style>", *(f"  {mark}" for mark in marks), "</svg>\n"]
    )
