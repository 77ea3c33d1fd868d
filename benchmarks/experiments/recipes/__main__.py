"""All tiny recipes at equal operations on the synthetic corpus: a results table that regenerates.

`python -m surgstream.benchmarks.experiments.recipes FOLDER [--tflop 24] [--jobs 2] [--save benchmarks/results]` makes
operations in FOLDER, pretrains every tiny recipe on some, each with as many operations of arithmetic, and judges the
encoders on others, beside random weights and pixels: probes of phases, triplets and masks, and the effective rank of
features. All encoders have one size and see the same clips. What is in FOLDER is not done again, so it resumes, and a
recipe that is added is the only one that runs. `--save` writes `recipes_cpu_YYYYMM.json`, of which
`python -m tests.doc_tables` makes the table.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from surgstream.benchmarks.experiments.recipes.budget import tiny_recipes
from surgstream.benchmarks.experiments.recipes.experiment import experiment
from surgstream.benchmarks.experiments.recipes.places import Setting
from surgstream.benchmarks.experiments.recipes.running import CommandError
from surgstream.benchmarks.experiments.recipes.tables import table
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically

PROBED = ("epochs=2", "clips_per_epoch=1600")
"""200 steps of 16 clips."""

# Instruments are a hundredth of the pixels: of the protocol's rates the high ones alone see them
MASKED = ("epochs=2", "clips_per_epoch=3200", "readout.grid.lrs=[1,0.3,0.1,0.03]")
"""400 steps of 16 clips."""

PROTOCOLS = {
    "synth_phases": ("probe_tiny", *PROBED),
    "synth_triplets": ("probe_tiny", *PROBED),
    "synth_masks": ("dense_tiny", *MASKED),
}

TFLOP = 24.0
"""By which the slowest recipe takes some ten minutes of a core."""


def main() -> int:
    """Do the experiment, print the table, and save the record."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.recipes", description=__doc__
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--tflop", type=float, default=TFLOP, help="of each pretraining")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=[*tiny_recipes()], metavar="RECIPE")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--save", type=Path, metavar="DIR")
    words = parser.parse_args()

    setting = Setting(
        budget=words.tflop * 1e12,
        seeds=tuple(range(words.seeds)),
        train_times=4,
        train_seconds=20,
        test_times=16,
        test_seconds=10,
        num_train=26,
        num_val=6,
        protocols=PROTOCOLS,
    )
    try:
        found = experiment(words.folder, setting, words.recipes, words.jobs)
    except CommandError as error:
        print(f"recipes: {error}", file=sys.stderr)
        return 1

    print(table(found))
    save = words.save or words.folder
    # Without the folder, which is this machine's
    said = f"--tflop {words.tflop:g} --seeds {words.seeds} --recipes {' '.join(words.recipes)}"
    command = f"python -m surgstream.benchmarks.experiments.recipes FOLDER {said}"
    kept = {**conditions(), "command": command, "jobs": words.jobs, **found}
    path = save / f"recipes_cpu_{time.strftime('%Y%m')}.json"
    write_atomically(path, json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
