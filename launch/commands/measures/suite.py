"""`surgstream suite`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder, to_place
from surgstream.configs.presets import Preset
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Judge encoders on a suite: every task, under every protocol, with every seed, for every encoder. What
is done is not done again, so it resumes, and another encoder adds a column.

  surgstream suite quick weights=runs/surgvista --corpus shards/evaluate --labels labels --out suite
  surgstream suite quick weights=ours=runs/a weights=vmae=b.pth encoder.layout=videomae ...
  surgstream suite quick weights=runs/surgvista --corpus shards/evaluate --labels labels --out suite --dry-run

The folder of --out gets table.md, table.tex for a paper, report.html and, for each task under a
protocol, result.json. Intervals are of 95 %; bold is what a paired test finds better than all others.
Random weights stand beside, and whatever else the suite calls a yardstick.

weights is what `surgstream probe` takes; encoder.KEY=VALUE after it is of these weights alone. Each
cell of the table is a run of `finetune` or `probe` in a process of its own below --out: one that
fails is told in the table, and is tried again by the next start. Cells are known by what decides
their numbers: the protocol, the bytes of weights, frames and labels.
"""

EPILOG = """\
exit status: 0 all is done; 1 some cells failed, or lack data; 2 wrong arguments, suite or protocol
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream suite`."""
    parser = command("suite", "surgstream.trainer.commands.suite", DESCRIPTION, EPILOG)
    parser.add_argument(
        "suite",
        metavar="SUITE",
        type=Preset("evaluate/suites"),
        help="a suite's YAML file, or the name of one in configs/evaluate/suites",
    )
    parser.add_argument(
        "weights",
        nargs="+",
        metavar="weights=[NAME=]WEIGHTS",
        help="the encoders; encoder.KEY=VALUE after one says how it is read",
    )
    add_places(parser)
    parser.add_argument(
        "--processes",
        type=Number(int, 1, 1024),
        metavar="N",
        default=1,
        help="processes of each run on this machine, one a GPU (default: 1)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--dry-run", action="store_true", help="only tell what there is to do, and what is missing"
    )
    how.add_argument("--table", action="store_true", help="only draw the table of what is done")
    return parser.parse_intermixed_args(argv)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where a suite reads and writes."""
    parser.add_argument(
        "--corpus",
        metavar="SHARDS",
        type=to_place,
        action="append",
        required=True,
        help="a packed corpus with the tasks' videos; several, if they are packed apart",
    )
    parser.add_argument(
        "--labels",
        metavar="ROOT",
        type=to_place,
        help="the folder of labels that `surgstream labels` wrote into, or its s3:// address "
        "(default: those packed with the frames)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=to_folder, required=True, help="the suite's folder"
    )
