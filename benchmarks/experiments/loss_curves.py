"""A recipe's losses, by seed, kept in FILE.

`python -m surgstream.benchmarks.experiments.loss_curves FILE CASE TREE RECIPE [KEY=VALUE ...]`

TREE is a copy of the repository, of any commit that has `src`, whose code trains: what a change does to losses is the
difference of two cases. It is one process with one thread, so a case gives the same numbers again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically

Curve = dict[str, dict[str, float]]
"""Losses by name, by step."""


def main() -> int:
    """Train, keep the losses, and print those of the last step."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.loss_curves", description=__doc__
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON; other cases in it stay")
    parser.add_argument("case", metavar="CASE", help="what to call it")
    parser.add_argument("tree", type=Path, metavar="TREE", help="whose code trains")
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--commit", default="", help="of TREE, where it has no git")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="behind all else")
    words = parser.parse_intermixed_args()

    curves = {}
    for seed in words.seeds:
        curves[str(seed)] = train(words.tree, words.recipe, words.overrides, seed)

    kept: dict[str, Any] = {**conditions(), "cases": {}}
    if words.file.exists():
        kept = json.loads(words.file.read_text())
    # Without the corpus's path, which is this machine's
    shown = [word for word in words.overrides if "corpus=" not in word]
    kept["cases"][words.case] = {
        "commit": words.commit,
        "recipe": words.recipe,
        "words": shown,
        "curves": curves,
    }

    write_atomically(words.file, json.dumps(kept, indent=1) + "\n")
    print(f"{words.case}: {'; '.join(summary(list(curves.values())))}")
    return 0


def train(tree: Path, recipe: str, words: Sequence[str], seed: int) -> Curve:
    """Train a whole run in a folder of its own; returns its losses by step."""
    # The code of TREE comes before what is installed
    tree = tree.resolve()
    if not (tree / "src" / "surgstream").is_dir():
        raise SystemExit(f"{tree}: expected a copy of the repository, got no src/surgstream there")
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}

    with tempfile.TemporaryDirectory() as folder:
        run = (f"run_dir={folder}/run", f"seed={seed}")
        command = [sys.executable, "-m", "surgstream", "pretrain", recipe, *run, *words]
        ended = subprocess.run(
            command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"{' '.join(command)}: {ended.stderr[-2000:]}")
        metrics = (Path(folder) / "run" / "metrics.jsonl").read_text()
        lines = [json.loads(line) for line in metrics.splitlines()]

    curve: Curve = {}
    for line in lines:
        curve.setdefault(str(line["step"]), {}).update(losses(line))
    return curve


def losses(line: dict[str, Any]) -> dict[str, float]:
    """The training and held-out losses in a line of `metrics.jsonl`."""
    names = [name for name in line if name.startswith(("loss/", "held_out/"))]
    names = [name for name in names if not name.endswith(("_of_mean", "/clips"))]
    return {name: round(line[name], 6) for name in names}


def summary(curves: Sequence[Curve]) -> list[str]:
    """Each loss at the last step: its mean over seeds, and its least and most."""
    last = [curve[max(curve, key=int)] for curve in curves]
    lines = []
    for name in last[0]:
        values = [row[name] for row in last]
        ends = f"{min(values):.4f} to {max(values):.4f}"
        lines.append(f"{name} {statistics.fmean(values):.4f} ({ends})")
    return lines


if __name__ == "__main__":
    sys.exit(main())
