"""`surgstream describe`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Describe a recipe: parameters, operations and memory by part, steps, saves, room on the disk and,
where the corpus can be read, its clips, how often each is drawn, and what a small corpus is short
of.

  surgstream describe surgvista_vitb --world-size 8 --tflops 200
  surgstream describe surgvista_vitb --nodes 64 --tflops 200 --start-seconds 400
  surgstream describe surgvista_vitb --json | jq .parameters.total

Nothing is trained and no weights are needed. The memory is an estimate of what one rank holds for
the model and its activations; frameworks and fragmentation come on top. Hours are reckoned from
--tflops, the speed that a GPU sustains: take it from a short run of your own, as
throughput/clips_per_second times the operations of a clip, over the number of GPUs. Evaluations,
saves and waiting for data are not among them.

With --nodes, the expected effective training time ratio: the share of a long run's time that is
training which no failure undoes, at the recipe's saves and at the best ones (Daly 2006). What
failures cost is assumed unless given: take --start-seconds, --restore-seconds and --save-seconds
from a run's log.
"""


OF_NODES = ("gpus_per_node", "mttf_hours", "start_seconds", "restore_seconds", "save_seconds")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream describe`."""
    parser = command("describe", "surgstream.trainer.commands.describe", DESCRIPTION)
    add_recipe(parser)

    ranks = parser.add_mutually_exclusive_group()
    ranks.add_argument(
        "--world-size",
        type=Number(int, 1, 2**20),
        default=1,
        metavar="W",
        help="ranks (default: 1)",
    )
    ranks.add_argument(
        "--nodes",
        type=Number(int, 1, 2**20),
        metavar="N",
        help="nodes of --gpus-per-node ranks each, and what failures cost there",
    )
    parser.add_argument(
        "--gpus-per-node",
        type=Number(int, 1, 2**10),
        metavar="G",
        help="ranks of a node (default: 8)",
    )
    parser.add_argument(
        "--tflops",
        type=Number(float, 1e-3, 1e6),
        metavar="T",
        help="10^12 operations a second that a GPU sustains, for hours",
    )
    _add_failures(parser)
    parser.add_argument("--json", action="store_true", help="all numbers as JSON, for scripts")

    words = parser.parse_intermixed_args(argv)
    given = [option for option in OF_NODES if getattr(words, option) is not None]
    if given and words.nodes is None:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        parser.error(f"{options}: expected --nodes as well, without which it changes nothing")
    return words


def _add_failures(parser: argparse.ArgumentParser) -> None:
    """Add what --nodes reckons with. The defaults are assumptions, but for the published mean time to failure."""
    parser.add_argument(
        "--mttf-hours",
        type=Number(float, 1e-3, 1e6),
        metavar="H",
        help="mean time to failure of the run (default: 7.9 h for 1,024 GPUs, more for fewer)",
    )
    parser.add_argument(
        "--start-seconds",
        type=Number(float, 0, 1e6),
        metavar="S",
        help="from a failure to the reading of a checkpoint (default: 300)",
    )
    parser.add_argument(
        "--restore-seconds",
        type=Number(float, 0, 1e6),
        metavar="S",
        help="to read a checkpoint (default: 30)",
    )
    parser.add_argument(
        "--save-seconds",
        type=Number(float, 1e-3, 1e6),
        metavar="S",
        help="that a save takes (default: 5)",
    )
