"""`surgstream synth`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command
from surgstream.shards.synthetic.config import MAX_TIMES, MEAN_SECONDS, SECONDS_RANGE

DESCRIPTION = """\
Make a small labelled surgical corpus, in about a minute on two cores: videos of invented datasets,
with phases, instrument-verb-target triplets, instrument masks and depth. Four datasets are of
operations, which the corpus.yaml for `surgstream pack` has. Two more, clips of single actions and
exercises of surgeons with a score, are only for the tasks synth_phases, synth_triplets,
synth_actions and synth_skill; evaluate.yaml has all six. The same seed and length give the same
corpus.
"""

EPILOG = """\
examples:
  surgstream synth corpus && surgstream pack corpus/corpus.yaml shards
  surgstream synth corpus --times 8 --seconds 10
      what the tasks need, with at least eight test videos each
  surgstream pack corpus/evaluate.yaml tests

exit status: 0 done, 1 failed, 2 wrong arguments
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream synth`."""
    parser = command("synth", "surgstream.shards.synthetic.corpus", DESCRIPTION, EPILOG)
    parser.add_argument(
        "out", metavar="OUT", type=to_folder, help="folder to make; it must be empty or not exist"
    )

    parser.add_argument(
        "--datasets",
        type=_names,
        default=(),
        metavar="NAME,...",
        help="make these datasets alone, such as larkspur; each is the same whatever else is made",
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
        help="multiples of 13 operations, 12 clips and 6 exercises (default: %(default)d)",
    )
    parser.add_argument(
        "--no-frame-numbers",
        dest="frame_numbers",
        action="store_false",
        help="leave out the squares in the corners that number the frames, which give phases away",
    )

    return parser.parse_intermixed_args(argv)


def _names(word: str) -> tuple[str, ...]:
    return tuple(name for name in word.split(",") if name)
