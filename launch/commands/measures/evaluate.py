"""`surgstream evaluate`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder, to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command, named_file

DESCRIPTION = """\
Score stored predictions, ours or anybody's, for a task: metrics with intervals, yardsticks that any
encoder should beat, and what others have published. It needs neither torch nor a GPU.

PREDICTIONS are .npz files that surgstream wrote, or CSV files:

  video,second,label                    a class, several with ; between, or a number
  video,second,dissection,clipping,...  a score for each class of the task
  video,label                           where the task labels videos as a whole

Rows belong to labels by time; `frame`, from 0, may take the place of `second` with --fps. Every video
of the split must be there, and a prediction for each of its labelled rows; what does not count is
told. A model is called after its file, or NAME by NAME=FILE; files of one NAME are seeds of one model.

Files that surgstream wrote tell which of the videos their weights had seen before: such a model is
marked, and scored on the other videos beside all of them. Of other files that is unknown.
"""

EPILOG = """\
examples:
  surgstream evaluate cholec80_phases ours.csv --labels labels --out result
  surgstream evaluate cholec80_phases ours=a.npz ours=b.npz theirs.csv --labels labels --compare
  surgstream evaluate my_task.yaml ours.csv --corpus shards/mine

--out DIR gets result.json, table.md and report.html, one page with ribbons of phases over time,
confusion, reliability, every class and every video.

exit status: 0 scored; 1 predictions or labels do not fit the task; 2 wrong arguments or task
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream evaluate`."""
    parser = command("evaluate", "surgstream.trainer.commands.evaluate", DESCRIPTION, EPILOG)
    parser.add_argument(
        "task",
        metavar="TASK",
        help="a task's YAML file, or the name of one in configs/evaluate/tasks; with @FOLD one of "
        "its folds",
    )
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", nargs="+", type=named_file, help="[NAME=]FILE"
    )

    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument(
        "--labels",
        metavar="ROOT",
        type=to_place,
        help="the folder of labels that `surgstream labels` wrote into, or its s3:// address",
    )
    labels.add_argument(
        "--corpus", metavar="SHARDS", type=to_place, help="a packed corpus that has the labels"
    )
    parser.add_argument(
        "--split",
        choices=("test", "val", "train"),
        default="test",
        help="the videos (default: test)",
    )
    parser.add_argument(
        "--fps",
        type=Number(float, 0.001, 1000),
        metavar="F",
        help="what the column `frame` of CSV files counts a second",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="compare every other model with the first one, paired",
    )
    parser.add_argument("--out", metavar="DIR", type=to_folder, help="keep the result there")
    words = parser.parse_intermixed_args(argv)

    names = [name or file.stem for name, file in words.predictions]
    for name, (given, file) in zip(names, words.predictions, strict=True):
        # Runs call their files alike, and are no seeds of one model.
        if not given and names.count(name) > 1:
            parser.error(f"{file}: expected a name, as {name} is another file's; write NAME={file}")
    if words.compare and len({*names}) == 1:
        parser.error(f"--compare: expected several models, got {names[0]} alone")
    files = [file for _, file in words.predictions]
    words.predictions = list(zip(names, files, strict=True))
    return words
