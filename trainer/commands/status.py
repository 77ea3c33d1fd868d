"""`surgstream status`: the state of runs."""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain

from surgstream.configs.errors import ConfigError
from surgstream.configs.printable import CLEAR
from surgstream.trainer.commands.status_page import show
from surgstream.trainer.runs.jobs import jobs_of
from surgstream.trainer.runs.slurm import Word, ask_slurm
from surgstream.trainer.runs.standing import ENDED
from surgstream.trainer.runs.state import RunState, read_run

_REFRESH_SECONDS = 2.0
_REPRINT_SECONDS = 60.0
_ASK_SECONDS = 60.0
"""The time between two requests to Slurm, whose controller serves everybody."""


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream status`."""
    for run_dir in words.run_dirs:
        if not run_dir.is_dir():
            found = "a file" if run_dir.exists() else "nothing"
            raise ConfigError(f"{run_dir}: expected a run directory, got {found}")

    in_place = words.follow and not words.json and sys.stdout.isatty()
    slurm: dict[str, Word] = {}
    asked = -math.inf

    while True:
        now = time.time()
        if time.monotonic() - asked >= _ASK_SECONDS:
            jobs = [jobs_of(run_dir) for run_dir in words.run_dirs]
            slurm = ask_slurm(chain.from_iterable(jobs))
            asked = time.monotonic()

        runs = [read_run(run_dir, now, slurm) for run_dir in words.run_dirs]
        page = _json_lines(runs) if words.json else show(runs)

        if in_place:
            sys.stdout.write(CLEAR)
        sys.stdout.write(f"{page}\n")
        sys.stdout.flush()
        if not words.follow or all(run.state in ENDED for run in runs):
            return int(any(run.state in ("failed", "crashed") for run in runs))
        time.sleep(_REFRESH_SECONDS if in_place else _REPRINT_SECONDS)


def _json_lines(runs: Sequence[RunState]) -> str:
    return "\n".join(json.dumps(asdict(run)) for run in runs)
