"""The nodes for whose sake a run cannot start, and the word about them to the script of a Slurm job."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from surgstream.trainer.preflight.judgement.problems import Problem, nodes
from surgstream.trainer.preflight.judgement.report import RankReport
from surgstream.trainer.runs.files import UNFIT


def unfit_nodes(problems: Sequence[Problem], reports: Sequence[RankReport]) -> dict[str, str]:
    """The nodes for whose sake alone a run cannot start, and why; none where most nodes are, since then the run is.

    Args:
        problems: The problems that `find_problems` found.
        reports: The reports of all ranks.
    """
    found: dict[str, str] = {}
    for problem in problems:
        if not problem.fatal:
            continue
        if not problem.of_node:
            return {}
        for report in reports:
            if report.rank in problem.ranks:
                found.setdefault(report.node, f"{problem.check}: {problem.sentence}")
    return found if are_few(len(found), len(nodes(reports))) else {}


def are_few(num_unfit: int, num_nodes: int) -> bool:
    """Whether the next start may go better without these nodes: at most half of all are."""
    return 2 * num_unfit <= num_nodes


def tell_job(unfit: Mapping[str, str]) -> None:
    """Tell the script of a Slurm job, if it asks, which nodes to leave out, and why."""
    path = os.environ.get(UNFIT)
    if path and unfit:
        # The script puts the reason into JSON as it is.
        lines = [f"{node} {json.dumps(reason)[1:-1]}\n" for node, reason in unfit.items()]
        with suppress(OSError):  # the user sees the error itself
            Path(path).write_text("".join(lines), encoding="utf-8")
