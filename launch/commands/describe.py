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
  surgstream describe surgvista_vitb --json | jq .parameters.total

Nothing is trained and no weights are needed. The memory is an estimate of what one rank holds for
the model and its activations; frameworks and fragmentation come on top. Hours are reckoned from
--tflops, the speed that a GPU sustains: take it from a short run of your own, as
throughput/clips_per_second times the operations of a clip, over the number of GPUs. Evaluations,
saves and waiting for data are not among them.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream describe`."""
    parser = command("describe", "surgstream.trainer.commands.describe", DESCRIPTION)
    add_recipe(parser)

    parser.add_argument(
        "--world-size",
        type=Number(int, 1, 2**20),
        default=1,
        metavar="W",
        help="ranks (default: 1)",
    )
    parser.add_argument(
        "--tflops",
        type=Number(float, 1e-3, 1e6),
        metavar="T",
        help="10^12 operations a second that a GPU sustains, for hours",
    )
    parser.add_argument("--json", action="store_true", help="all numbers as JSON, for scripts")

    return parser.parse_intermixed_args(argv)
