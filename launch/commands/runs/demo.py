"""`surgstream demo`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
The whole job in small, on any machine, without a GPU: videos, shards, clips, a tiny SurgVISTA on
two processes that is resumed once, and a judgement of its features beside random weights and raw
pixels. It takes minutes on two cores. It is the shell script launch/demo.sh, which is there to be
read.
"""

EPILOG = """\
examples:
  surgstream demo demo
  surgstream demo demo FOLDER_OF_VIDEOS
      your own videos; they have no labels, so that nothing is judged

exit status: that of the first command that fails, 0 if none does
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream demo`."""
    parser = command("demo", "surgstream.launch.demo", DESCRIPTION, EPILOG)
    parser.add_argument(
        "out", metavar="OUT", type=to_folder, help="folder for all that is made; it may be there"
    )
    parser.add_argument(
        "videos",
        nargs="?",
        metavar="VIDEOS",
        type=to_folder,
        help="folder of your own videos; a synthetic corpus is made otherwise",
    )
    parser.add_argument(
        "--steps",
        type=Number(int, 2, 10**6),
        default=1200,
        help="training steps, half of them after the resume (default: %(default)d)",
    )
    return parser.parse_intermixed_args(argv)
