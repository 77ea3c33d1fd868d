"""`surgstream status`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Tell how runs stand, from the files of their run directories and, where Slurm is, from what it says
of their jobs. Nothing is disturbed.

  surgstream status runs/surgvista_vitb
  surgstream status runs/surgvista_vitb --follow
  surgstream status runs/* --json | jq -r 'select(.state=="silent") | .run_dir'

One run is shown in full, several as a table of one line a run, with the reason below where one does
not go on; --json prints one object a run and line. --follow goes on until nobody but you would
start a run again.

A run is
  not started  when its directory tells of no start
  starting     until the first report after a start
  training     while it reports
  silent       when it has written neither to metrics.jsonl nor to train.log
               for three times the longest pause between its recent reports,
               and at least five minutes; before its first two reports, for
               fifteen minutes. It may hang, or have been killed on a machine
               that cannot be asked from here
  waiting      when its job is in Slurm's queue, for the first time or again;
               or is about to be requeued
  stopped      when it was asked to stop and has saved a checkpoint, and Slurm,
               if it can be asked, has no job that goes on; the same command
               does
  cancelled    when its job was cancelled
  crashed      when its process or job has ended without a word: Slurm's, and
               the last error in train.log, are shown
  failed       when it ended for a reason that would come again; the sentence
               says which
  done         when its last step is saved

Time left is the steps left times a step, which is the mean of the last ten reports and what
evaluations, pictures and checkpoints have cost beside each step since the last start. Waiting for
data is of the first rank's last report.

Exit status: 0; 1 when a run has failed or crashed.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream status`."""
    parser = command("status", "surgstream.trainer.commands.status", DESCRIPTION)
    parser.add_argument(
        "run_dirs", nargs="+", type=to_folder, metavar="RUN_DIR", help="the run_dir of a recipe"
    )
    parser.add_argument("--follow", action="store_true", help="refresh until every run has ended")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a run")
    return parser.parse_intermixed_args(argv)
