"""The effective training time ratio of `surgstream describe --nodes`, beside a simulation of runs that fail.

`python -m surgstream.benchmarks.experiments.effective_time [--save FOLDER]` lets runs of several sizes train, save,
fail and restart event by event, and prints how much of their time was training that no failure undid: at the interval
that Daly's estimate calls best, at a quarter of it and at four times it; with what the formula expects.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.trainer.estimates import Failures, best_interval, effective_ratio

NUM_GPUS = (8, 64, 512, 1024, 4096)
COSTS = (
    Failures(start_seconds=300, restore_seconds=30, save_seconds=5),
    Failures(start_seconds=900, restore_seconds=120, save_seconds=60),
)
INTERVALS = (0.25, 1.0, 4.0)
NUM_FAILURES = 4000


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run, as simulated and as the formula has it.

    Attributes:
        num_gpus: Its GPUs.
        failures: What failures cost.
        interval_seconds: Training from one save to the next.
        simulated: Its effective training time ratio.
        expected: That by the formula.
    """

    num_gpus: int
    failures: Failures
    interval_seconds: float
    simulated: float
    expected: float


def simulate(interval_seconds: float, failures: Failures, mttf_seconds: float, seed: int) -> float:
    """Let a run fail many times; returns the share of its time that was training which no failure undid.

    Failures come at exponential distances, whatever the run does: trains, saves or restarts.
    """
    failures_at = np.random.default_rng(seed).exponential(mttf_seconds, NUM_FAILURES).cumsum()
    now = 0.0
    kept = 0.0

    for failure_at in failures_at.tolist():
        now += failures.start_seconds + failures.restore_seconds
        while (saved_at := now + interval_seconds + failures.save_seconds) <= failure_at:
            now = saved_at
            kept += interval_seconds
        # What was trained since then is lost, or the restart itself failed.
        now = failure_at
    return kept / now


def compare() -> Iterator[Compared]:
    """Compare all sizes, costs and intervals."""
    for num_gpus, failures, share in itertools.product(NUM_GPUS, COSTS, INTERVALS):
        mttf = failures.mttf_seconds(num_gpus)
        interval = share * best_interval(failures.save_seconds, mttf)
        yield Compared(
            num_gpus=num_gpus,
            failures=failures,
            interval_seconds=interval,
            simulated=simulate(interval, failures, mttf, seed=num_gpus),
            expected=effective_ratio(interval, failures, mttf),
        )


def table(found: list[Compared]) -> str:
    """Lay them out as Markdown."""
    rows = [("GPUs", "save s", "restart s", "minutes between saves", "simulated", "formula")]
    for one in found:
        restart = one.failures.start_seconds + one.failures.restore_seconds
        row = (
            f"{one.num_gpus:,}",
            f"{one.failures.save_seconds:g}",
            f"{restart:g}",
            f"{one.interval_seconds / 60:.1f}",
            f"{one.simulated:.4f}",
            f"{one.expected:.4f}",
        )
        rows.append(row)
    return markdown(rows, left=0)


def main() -> int:
    """Compare, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    words = parser.parse_args()

    found = list(compare())
    print(table(found))
    most = max(abs(one.simulated / one.expected - 1) for one in found)
    print(f"\nthe simulation differs by up to {100 * most:.2f} %")

    if words.save:
        path = words.save / f"effective_time_cpu_{time.strftime('%Y%m')}.json"
        tree = {**conditions(), "most_difference": most, "runs": list(map(asdict, found))}
        write_atomically(path, json.dumps(tree, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
