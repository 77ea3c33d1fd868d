"""`surgstream inspect`: its arguments."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from surgstream.configs.places import to_folder, to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command
from surgstream.shards.format.outside import report_folder

DESCRIPTION = """\
Print what a packed corpus holds: datasets, hours, frames, sizes, videos too short for a clip, and
what share of the draws each dataset and specialty has without weights. With --grid and --plot it is
drawn; with --report a page has each video's pictures, its crop and all that was found in it; with
--video one video is looked at. Only what is shown is read, also on S3. What was dropped is in no
file of a corpus: the report shows it if the source videos still lie where they were packed from,
which a corpus with pseudonyms does not tell; `surgstream pack --report` always knows it.
"""

EPILOG = """\
examples:
  surgstream inspect shards
  surgstream inspect s3://bucket/corpus --json > corpus.json
  surgstream inspect shards --plot --grid --out pictures
      hours.svg, and a contact sheet DATASET.png of each
  surgstream inspect shards --report report
      report/index.html: what was found, cropped and dropped
  surgstream inspect shards --video cholec80/video41 --grid
      its frames over time: cholec80_video41.png
  surgstream inspect shards --video video41 --second 1200
      that frame, as packed: cholec80_video41_1200s.jpg
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream inspect`."""
    parser = command("inspect", "surgstream.shards.commands.inspect", DESCRIPTION, EPILOG)
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        type=to_place,
        help="the packed corpus: a folder or s3://BUCKET/PREFIX",
    )
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument(
        "--short",
        metavar="T",
        type=Number(int, 1, 10**9),
        default=16,
        help="videos of fewer frames are short; 16",
    )

    parser.add_argument("--plot", action="store_true", help="draw hours by specialty and dataset")
    parser.add_argument("--grid", action="store_true", help="write contact sheets")
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        type=report_folder,
        help="write a page about how each video was packed",
    )
    parser.add_argument(
        "--video", metavar="V", help="look at one video: its id, DATASET/ID, or its file's name"
    )
    parser.add_argument(
        "--second",
        metavar="S",
        type=Number(float, 0, 1e9),
        help="write the frame of that second as it was packed",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=to_folder,
        default=Path(),
        help="where pictures are written; here",
    )

    words = parser.parse_intermixed_args(argv)
    if words.second is not None and words.video is None:
        parser.error("--second: expected --video as well")
    return words
