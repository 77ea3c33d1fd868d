"""`surgstream loader`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.ranges import LAST_DRAW, Number
from surgstream.launch.commands.parsing import add_recipe, command

DESCRIPTION = """\
Measure how fast the clips of a recipe are read and decoded: its order, stream and loader, and no
model.

  surgstream loader surgvista_tiny data.corpus=demo/shards --seconds 20
  torchrun --nproc-per-node 8 -m surgstream loader surgvista_vitb \\
      data.corpus=s3://bucket/corpus
  srun --ntasks-per-node 8 surgstream loader surgvista_vitb \\
      --out speed/nodes_2/loader.json

Every rank takes its batches as fast as they come. All count over the same window, which opens
--warm-up seconds after they began together: clips that come in it, what is read from the store, and
retries. "waits" is the share of the window in which a rank had no bytes to go on with: near 100 %
the store or the network is the limit, near 0 % decoding is. --no-decode measures reading alone. A
cache (data.cache_dir) serves what it has kept from runs before.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream loader`."""
    parser = command("loader", "surgstream.trainer.commands.loader", DESCRIPTION)
    add_recipe(parser)

    parser.add_argument(
        "--seconds",
        type=Number(float, 0.01, 86400),
        default=60.0,
        metavar="S",
        help="length of the window (default: 60)",
    )
    parser.add_argument(
        "--warm-up",
        type=Number(float, 0, 86400),
        default=10.0,
        metavar="S",
        help="seconds before it (default: 10)",
    )
    parser.add_argument(
        "--start",
        type=Number(int, 0, LAST_DRAW),
        default=0,
        metavar="G",
        help="first draw (default: 0)",
    )
    parser.add_argument("--no-decode", action="store_true", help="read bytes, decode nothing")
    parser.add_argument(
        "--out", type=to_folder, metavar="FILE.json", help="where rank 0 writes all numbers"
    )

    return parser.parse_intermixed_args(argv)
