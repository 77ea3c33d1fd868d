"""`surgstream labels`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.launch.commands.parsing import command
from surgstream.shards.releases.registry import MODULES

DESCRIPTION = """\
Turn the label files of a public release, as they were published, into the CSV files that tasks
read: OUT/RELEASE/COLUMN/VIDEO.csv, with a row for each labelled second, or OUT/RELEASE/COLUMN.csv,
with a row for each video. What was found is counted, and compared with what was published; all
files are written, or none.
"""

EPILOG = """\
examples:
  surgstream labels cholec80 --root /data/Cholec80 labels
      labels/cholec80/phase/video01.csv and so on, and the same of tools
  surgstream labels cholec80 --root few --allow-other-counts labels
      of some of its videos

exit status: 0 done; 1 a file is missing or damaged, or counts are not those published; 2 wrong
arguments
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream labels`."""
    parser = command("labels", "surgstream.shards.commands.labels", DESCRIPTION, EPILOG)
    parser.add_argument("release", metavar="RELEASE", help=f"one of {', '.join(sorted(MODULES))}")
    parser.add_argument(
        "out", metavar="OUT", type=to_folder, help="the folder of labels to write into"
    )
    parser.add_argument(
        "--root",
        metavar="RAW",
        type=to_folder,
        required=True,
        help="the folder in which the release lies as it was published",
    )
    parser.add_argument(
        "--allow-other-counts",
        action="store_true",
        help="write also where videos or rows are not as many as were published",
    )
    return parser.parse_intermixed_args(argv)
