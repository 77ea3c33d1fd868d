"""`surgstream verify`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Check a packed corpus: recompute the checksum of every shard, index and frame, compare the tars with
the indexes and the manifest, decode every JPEG, and check the plan, the receipts and the quarantine
report, which a staged corpus does not have. What is wrong is named by shard, member and frame, one
line each. Pictures that an earlier version has left beside the shards are warned of.
"""

EPILOG = """\
examples:
  surgstream verify shards
  surgstream verify s3://bucket/corpus --workers 16

exit status: 0 every byte is as it was packed; 1 something is not; 2 wrong arguments. A damaged
shard is mended by deleting it and running `surgstream pack` again, or `surgstream stage` where it
was staged.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream verify`."""
    parser = command("verify", "surgstream.shards.commands.verify", DESCRIPTION, EPILOG)
    parser.add_argument(
        "out",
        metavar="OUT",
        type=to_place,
        help="the packed corpus: a folder or s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--workers", metavar="N", type=Number(int, 1, 4096), help="processes; one a core by default"
    )
    return parser.parse_intermixed_args(argv)
