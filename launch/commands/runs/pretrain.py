"""`surgstream pretrain`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Train a recipe on a packed corpus.

  surgstream pretrain surgvista_tiny data.corpus=demo/shards
  torchrun --nproc-per-node 8 -m surgstream pretrain surgvista_vitb \\
      data.corpus=s3://bucket/corpus
  srun --ntasks-per-node 8 surgstream pretrain surgvista_vitb \\
      run_dir=/scratch/run1

Everything of a run is written to its run_dir; the same command continues it from its newest whole
checkpoint, on any number of ranks that divides the global batch. Any key of the YAML can be
overridden as section.key=value.

Ctrl-C, SIGTERM or SIGUSR1 to any rank: all save after the same step and end, with a mark REQUEUE.
Ctrl-C again ends at once, without saving. SIGUSR2 to a rank: it writes its threads' stacks, and a
trace of its next steps, and goes on.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream pretrain`."""
    parser = command("pretrain", "surgstream.trainer.commands.pretrain", DESCRIPTION)
    add_recipe(parser)
    parser.add_argument(
        "--preflight", action="store_true", help="check nodes, store and network first"
    )
    return parser.parse_intermixed_args(argv)
