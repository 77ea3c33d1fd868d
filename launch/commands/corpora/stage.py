"""`surgstream stage`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Copy a packed corpus: to the disks of the nodes, to a parallel file system, or to another store.
FROM and TO are each a folder, file:///FOLDER or s3://BUCKET/PREFIX. SURGSTREAM_STORES=FILE says how
each bucket is reached, where not both are reached alike (docs/s3.md).

Every shard and index is compared with the manifest's SHA-256 while it is copied, and the manifest
comes last: what lies in TO is whole or not there. Staging again goes on where it ended. Files of
the right size are read and compared once more, unless TO has this very manifest already, which says
that all of them were; --checksum compares them even so.

What training and `surgstream verify` read is copied: manifest, shards and indexes; not the plan,
the receipts and the quarantine report, so packing goes on in FROM alone. TO may hold nothing that
was packed there, nor other shards.

One stage at a time works in TO, and others wait for its end, so every rank of a node may run the
same command: one of them copies. Each file that is being copied takes 8 MiB of memory, 48 on the
way to S3.
"""

EPILOG = """\
examples:
  surgstream stage s3://bucket/corpus /local/corpus
  srun --ntasks-per-node=1 surgstream stage s3://bucket/corpus /local/corpus
      to every node of a job
  surgstream stage /shared/corpus s3://bucket/corpus --files 32

exit status: 0 all is there; 1 it is not, run it again; 2 wrong arguments, or TO holds something
else.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream stage`."""
    parser = command("stage", "surgstream.shards.commands.stage", DESCRIPTION, EPILOG)
    parser.add_argument("source", metavar="FROM", type=to_place, help="the packed corpus")
    parser.add_argument("target", metavar="TO", type=to_place, help="where to copy it")
    parser.add_argument(
        "--files",
        metavar="N",
        type=Number(int, 1, 1024),
        default=16,
        help="files at a time, 16 by default",
    )
    parser.add_argument(
        "--checksum", action="store_true", help="read what is there again, even where it was staged"
    )
    return parser.parse_intermixed_args(argv)
