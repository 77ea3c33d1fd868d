"""What it costs ranks to agree when to stop or save: an event simulation, and real processes of this machine.

`python -m surgstream.benchmarks.experiments.agreement [--processes 16] [--rounds 100] [--save FOLDER]` simulates rounds
of `trainer.engine.preemption.agreement` on 16 to 1,024 ranks, whose messages take 75 us and now and then longer, beside
the ring all-reduce at every step that was there before. Then it measures the same rounds in real processes that share a
store over the loopback, and compares them with a simulation of as many ranks, whose messages take as long, and whose
threads wake up as late, as theirs. It wants a machine that nothing else uses.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

from surgstream.benchmarks.experiments.agreement.processes import measure
from surgstream.benchmarks.experiments.agreement.simulation import (
    Round,
    Simulation,
    first_rounds,
    median_of,
    ring_seconds,
)
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically

RANKS = (16, 64, 128, 256, 512, 1024)
STEP_SECONDS = 0.037
"""A step of SurgVISTA with micro-batches of 4, as predicted for an H800."""

SECONDS_BETWEEN_WISHES = 600.0
"""With `checkpoint.every_minutes: 10`."""


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
