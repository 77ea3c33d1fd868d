"""`surgstream order`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.ranges import LAST_DRAW, Number
from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Print the order of a recipe, one JSON line a draw: g, step, rank, dataset, video, anchor_frame.

  surgstream order surgvista_tiny data.corpus=demo/shards --start 0 --count 64
  surgstream order surgvista_vitb --start 2048000 --count 2048 --world-size 64

The order is a pure function of corpus, seed and weights: nothing is trained or decoded, and any
draw of a run, past or to come, is found at once. A run that changed its batch, corpus or weights at
a resume follows another order from there on: give the checkpoint that it was resumed from, and the
recipe of that time.

  surgstream order CONFIG data.order.weights=balanced resume.allow=[weights] \\
      --checkpoint RUN/checkpoints/step_00001000
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream order`."""
    parser = command("order", "surgstream.trainer.commands.order", DESCRIPTION)
    add_recipe(parser)

    parser.add_argument(
        "--checkpoint",
        type=to_folder,
        metavar="DIR",
        help="where the run goes on from (default: none)",
    )
    parser.add_argument(
        "--start",
        type=Number(int, 0, LAST_DRAW),
        metavar="G",
        help="first draw (default: the checkpoint's, or 0)",
    )
    parser.add_argument(
        "--count",
        type=Number(int, 0, 10**9),
        default=10,
        metavar="N",
        help="how many draws (default: 10)",
    )
    parser.add_argument(
        "--world-size",
        type=Number(int, 1, 2**20),
        default=1,
        metavar="W",
        help="ranks to deal to (default: 1)",
    )

    return parser.parse_intermixed_args(argv)
