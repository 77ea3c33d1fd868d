"""`surgstream synth`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command
from surgstream.shards.synthetic.config import MAX_TIMES, MEAN_SECONDS, SECONDS_RANGE

DESCRIPTION = """\
Make a small labelled surgical corpus, in under a minute on two cores: videos of four invented
datasets, with phases, instrument-verb-target triplets, instrument masks and depth, and the
corpus.yaml that `surgstream pack` reads. The same seed and length give the same corpus.
"""

EPILOG = """\
example: surgstream synth corpus && surgstream pack corpus/corpus.yaml shards

exit status: 0 done, 1 failed, 2 wrong arguments
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream synth`."""
    parser = command("synth", "surgstream.shards.synthetic.corpus", DESCRIPTION, EPILOG)
    parser.add_argument(
        "out", metavar="OUT", type=to_folder, help="folder to make; it must be empty or not exist"
    )

    parser.add_argument(
        "--seconds",
        type=Number(float, *SECONDS_RANGE),
        default=MEAN_SECONDS,
        help="mean length of a video (default: %(default)g)",
    )
    parser.add_argument(
        "--seed",
        type=Number(int, 0, 2**62),
        default=0,
        help="another seed, another corpus (default: %(default)d)",
    )
    parser.add_argument(
        "--times",
        type=Number(int, 1, MAX_TIMES),
        default=1,
        help="multiples of 13 videos (default: %(default)d)",
    )
    parser.add_argument(
        "--no-frame-numbers",
        dest="frame_numbers",
        action="store_false",
        help="leave out the squares in the corners that number the frames, which give phases away",
    )

    return parser.parse_intermixed_args(argv)
