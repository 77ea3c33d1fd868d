"""The nodes that a run leaves out for a time, since starts of it have failed for their sake.

The script of a Slurm job notes them in `jobs.jsonl`, among its starts, with the reason and when the time is over.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from surgstream.trainer.runs.files import JOBS
from surgstream.trainer.runs.json_lines import Line, get_float, get_str, tail


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A node that is left out.

    Attributes:
        node: Its name in Slurm.
        reason: Why.
        until: When its time is over, in unix seconds.
    """

    node: str
    reason: str
    until: float


def excluded_nodes(jobs: Iterable[Line], now: float) -> list[Exclusion]:
    """The nodes that are left out, each once, the newest first.

    Args:
        jobs: The lines of `jobs.jsonl`.
        now: The time, in unix seconds.
    """
    found: dict[str, Exclusion] = {}
    for line in jobs:
        if "forgotten" in line:
            found.clear()

        node = get_str(line, "excluded")
        until = get_float(line, "until") or 0.0
        if node and until > now:
            found.pop(node, None)
            found[node] = Exclusion(node=node, reason=get_str(line, "reason") or "", until=until)
    return list(reversed(found.values()))


def nodes_excluded_by(run_dir: Path) -> list[Exclusion]:
    """The nodes that a run leaves out now, the newest first."""
    return excluded_nodes(tail(run_dir / JOBS), time.time())


def forget_nodes(run_dir: Path) -> None:
    """Leave no node out any more, if a run does.

    Raises:
        OSError: `jobs.jsonl` cannot be written.
    """
    if nodes_excluded_by(run_dir):
        with (run_dir / JOBS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), "forgotten": True}) + "\n")
