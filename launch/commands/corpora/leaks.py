"""`surgstream leaks`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Find stretches that two videos of packed corpora both show, also where one is coded again, scaled,
cropped a little, cut, mirrored, turned by half a turn or under a logo. Videos of TRAIN are compared
with each other and with those of every HELD_OUT, which is what `surgstream pack split=held_out`
makes of a test set. Three ways are tried:

  frames    that are the same byte for byte, at any length, by their CRC-32s
  motion    how the picture changes: 20 to 30 seconds in a small corpus, 30 to
            45 in one of 10,000 hours, since chance finds more there
  pictures  single ones that look the same, where a video is too short or too
            still to be told by its motion: coded again or scaled, but not
            under a logo

Videos are looked at as often as their frames differ, up to four times a second, so that copies are
found that start between seconds. Where neither of two videos has four frames a second, those may be
missed (with two frames a second some of them, with one most), and the result says so;
--from-sources then decodes the videos that HELD_OUT was packed from, where they still lie, or those
of TRAIN where there is no --against.

With --task there is one corpus, that a task is learned and judged on: its training videos are
compared with those to validate and to test on, and only these pairs are told.

Each line gives a score, from 0, chance, to 1, the same; the kind of pair; both videos with the
seconds that they share, within a few; and the way. Kinds: `held_out`, a leak; `across`, of two
datasets of TRAIN; `within`, of one. The last two are no leaks: they make what they show weigh more
than the rest. Then follows what could not be compared.
"""

EPILOG = """\
examples:
  surgstream leaks shards
  surgstream leaks shards --against held_out s3://bucket/tests --fail-on-leak
  surgstream leaks shards --against held_out --from-sources
  surgstream leaks shards --against held_out --json > leaks.json
  surgstream leaks shards/evaluate --task cholec80_phases --fail-on-leak

exit status: 0 compared; 1 a corpus or a source could not be read, or with --fail-on-leak TRAIN
shows what is held out or a held-out video could not be compared; 2 wrong arguments.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream leaks`."""
    parser = command("leaks", "surgstream.shards.commands.leaks", DESCRIPTION, EPILOG)
    parser.add_argument(
        "train",
        metavar="TRAIN",
        type=to_place,
        help="the packed corpus to train on: a folder or s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--against",
        metavar="HELD_OUT",
        type=to_place,
        nargs="+",
        action="extend",
        default=[],
        help="packed corpora held out of it",
    )

    parser.add_argument(
        "--task",
        metavar="TASK",
        help="a task's YAML file, or the name of one in configs/evaluate/tasks; with @FOLD one of "
        "its folds: compare its training videos with its others, all of them in TRAIN",
    )

    parser.add_argument(
        "--from-sources", action="store_true", help="decode the videos that were packed; see above"
    )
    parser.add_argument(
        "--fail-on-leak",
        action="store_true",
        help="exit with 1 where TRAIN shows what is held out, or something held out could not be "
        "compared",
    )
    parser.add_argument("--json", action="store_true", help="all of the result as JSON")
    parser.add_argument(
        "--workers", metavar="N", type=Number(int, 1, 4096), help="processes; one a core by default"
    )

    words = parser.parse_intermixed_args(argv)
    if words.train in words.against:
        parser.error(f"--against: expected other corpora than TRAIN, got {words.train}")
    if words.task and words.against:
        parser.error("--task: expected no --against, as all videos of a task are in TRAIN")
    if words.fail_on_leak and not (words.against or words.task):
        parser.error("--fail-on-leak: expected --against or --task as well")
    if words.task:
        words.work = "surgstream.trainer.commands.leaks"
    return words
