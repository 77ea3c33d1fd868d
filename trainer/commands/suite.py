"""`surgstream suite`: encoders on many tasks, and a table. Its own process needs no torch."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.columns import columns
from surgstream.configs.errors import SurgstreamError
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.shards.storage.addresses import absolute
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.estimates import EVALUATION_TFLOPS, evaluation_hours
from surgstream.trainer.evaluation.report.numbers import NOTHING
from surgstream.trainer.evaluation.report.result import to_json
from surgstream.trainer.evaluation.tasks.loading import each_fold
from surgstream.trainer.suite.cells import Cell, Places, plan_cells, unique
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.data import Corpora, open_task_data
from surgstream.trainer.suite.latex import draw_latex
from surgstream.trainer.suite.models import read_models
from surgstream.trainer.suite.page import draw_page
from surgstream.trainer.suite.running import read_cell, run_cell
from surgstream.trainer.suite.scoring import Entry, score_entries
from surgstream.trainer.suite.table import draw_table


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite, and all that the words of a command say of it.

    Attributes:
        suite: The suite.
        cells: Its cells.
        places: Where it reads and writes.
        words: The words that say the same, wherever they are said.
    """

    suite: SuiteConfig
    cells: tuple[Cell, ...]
    places: Places
    words: tuple[str, ...]


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream suite`."""
    plan = read_plan(words)
    out = plan.places.out
    if words.dry_run:
        sys.stdout.write(tell_plan(plan.cells, out))
        return 0

    stopped = not (words.table or _run_all(plan.cells, out, words.processes))
    entries = list(score_entries(plan.cells, plan.places))
    _keep(plan.suite, entries, out)
    sys.stdout.write(draw_table(plan.suite, entries))
    sys.stdout.write(f"\n{out}: report.html, table.md, table.tex\n")
    all_done = all(cell.predictions(out) for cell in plan.cells)
    return int(stopped or not (all_done or words.table))


def read_plan(words: argparse.Namespace) -> Plan:
    """Read suite, encoders, corpora and labels.

    Args:
        words: `suite`, `weights`, `corpus`, `labels` and `out`, as `surgstream suite` takes them.

    Raises:
        SurgstreamError: One of them is wrong or not there. What a task lacks is told by its cells.
    """
    suite = load(SuiteConfig, words.suite)
    out = Path(words.out).absolute()
    labels = absolute(words.labels) if words.labels else None
    places = Places(out=out, labels=labels)
    models = read_models(words.weights, suite)

    addresses = [*map(absolute, words.corpus)]
    corpora = Corpora(addresses)
    names = {task for part in suite.parts for word in part.tasks for task in each_fold(word)}
    data = {name: open_task_data(name, corpora, labels) for name in sorted(names)}
    said = [str(Path(words.suite).absolute())]
    for model in models:
        if not model.is_yardstick:
            said += [f"weights={model.name}={model.weights}", *model.words]
    said += [f"--corpus={address}" for address in addresses]
    said += [f"--labels={labels}"] if labels else []
    return Plan(
        suite=suite,
        cells=tuple(plan_cells(suite, models, data, places)),
        places=places,
        words=(*said, f"--out={out}"),
    )


def tell_plan(cells: Sequence[Cell], out: Path) -> str:
    """What each cell is, whether it is done, to be done or impossible, and what it takes."""
    lines = [("task", "protocol", "encoder", "seed", "GPU-hours", "state")]
    todo = {cell.key for cell in unique(cells) if not cell.predictions(out)}
    total = 0.0
    for cell in cells:
        hours = count_hours(cell) if cell.key in todo else 0.0
        total += 0.0 if math.isnan(hours) else hours
        said = f"{hours:.2g}" if hours > 0 else NOTHING
        who = (cell.asks, Path(cell.protocol).stem, cell.model.name, str(cell.seed))
        lines.append((*who, said, _state(cell, out)))

    page = "\n".join(columns(lines, left=6))
    return (
        f"{page}\n\n{len(cells)} cells, {len(todo)} runs to do, {total:.2g} GPU-hours "
        f"by counted operations at {EVALUATION_TFLOPS} TFLOP/s (docs/gpu_hours.md)\n"
    )


def count_hours(cell: Cell) -> float:
    """GPU-hours of a cell; NaN where its weights cannot be read, or torch is not installed."""
    try:
        from surgstream.trainer.finetuning.operations import finetuning_flops, recipe_flops
    except ModuleNotFoundError:
        return math.nan

    recipe, rows = cell.recipe, cell.data.num_rows
    assert recipe
    if isinstance(recipe, TrainConfig):
        return evaluation_hours(finetuning_flops(rows, recipe))
    try:
        return evaluation_hours(recipe_flops(rows, recipe))
    except SurgstreamError:
        return math.nan


def _state(cell: Cell, out: Path) -> str:
    if cell.predictions(out):
        return "done"
    record = read_cell(cell, out)
    if record.state == "new":
        return "to do"
    again = "" if cell.missing else "to do again, "
    return f"{again}{record.state}" + (f": {record.reason}" if record.reason else "")


def _run_all(cells: Sequence[Cell], out: Path, processes: int) -> bool:
    """Run what is not done; whether none was stopped."""
    todo = [cell for cell in unique(cells) if not cell.predictions(out)]
    for number, cell in enumerate(todo, 1):
        name = f"{cell.asks}, {cell.protocol}, {cell.model.name}, seed {cell.seed}"
        sys.stderr.write(f"[{number}/{len(todo)}] {name}\n")
        record = run_cell(cell, out, processes)
        if record.state == "failed":
            sys.stderr.write(f"  failed: {record.reason}\n  {cell.folder(out)}\n")
        if record.state == "stopped":
            sys.stderr.write(f"  {record.reason}\n")
            return False
    return True


def _keep(suite: SuiteConfig, entries: Sequence[Entry], out: Path) -> None:
    """Write the tables, the page, and the result of each line."""
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "table.md": draw_table(suite, entries),
        "table.tex": draw_latex(suite, entries),
        "report.html": draw_page(suite, entries, out),
    }
    for entry in entries:
        if entry.result:
            parts = (Path(entry.task).stem, Path(entry.protocol).stem)
            name = "-".join([*parts, *([] if entry.share == 1 else [f"{entry.share:g}"])])
            files[f"results/{name.replace('@', '-')}.json"] = (
                json.dumps(to_json(entry.result), indent=1) + "\n"
            )
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
