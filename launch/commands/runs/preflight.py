"""`surgstream preflight`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Check before a run, on the ranks that will train it: GPUs, versions, clocks, space, limits, the
store and its speed, the corpus, the run directory, the network, and one step of the model in
memory.

  surgstream preflight surgvista_tiny data.corpus=demo/shards
  torchrun --nproc-per-node 8 -m surgstream preflight surgvista_vitb
  srun --ntasks-per-node 8 surgstream preflight surgvista_vitb

Prints one line a node, then what failed and what to do, then `go` or `no go`. Takes under a minute;
compiling, where the recipe asks for it, comes on top. `surgstream pretrain --preflight` does the
same before it trains.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream preflight`."""
    parser = command("preflight", "surgstream.trainer.commands.preflight", DESCRIPTION)
    add_recipe(parser)
    return parser.parse_intermixed_args(argv)
