"""`surgstream finetune`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Fine-tune an encoder on the labels of a task, by a protocol.

  surgstream finetune finetune_surgvista_phases task=cholec80_phases labels=labels \\
      data.corpus=shards/evaluate warm_start.weights=runs/x/checkpoints/step_00060000
  torchrun --nproc-per-node 2 -m surgstream finetune finetune_tiny task=synth_phases \\
      labels=corpus data.corpus=shards warm_start=null

It learns the task's training videos, validates on its validation videos, keeps the weights with the
best main metric, and predicts the test videos with them, once, at the end. Predictions are written
to predictions/test.npz and val.npz in the run directory, and `surgstream evaluate` scores them. A
second start of a run that is done asks the test no more.

Weights that were trained on videos which the task validates or tests on, by name or by pictures, are
refused before anything is trained. leaks=allow takes them, and their results are marked; leaks=allow_val
takes those that have seen videos to validate on alone; leaks.compare=names compares no pictures, for
which every corpus behind the weights is read once.

warm_start=null begins with random weights, as a yardstick. All else is as `surgstream pretrain`
does it: the same command continues a run that was stopped or killed, on any number of ranks that
divides the global batch; any key of the YAML can be overridden as section.key=value.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream finetune`."""
    parser = command("finetune", "surgstream.trainer.commands.finetune", DESCRIPTION)
    add_recipe(parser, "evaluate/protocols")
    parser.add_argument(
        "--preflight", action="store_true", help="check nodes, store and network first"
    )
    return parser.parse_intermixed_args(argv)
