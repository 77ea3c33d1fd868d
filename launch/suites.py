"""A suite as jobs: arrays over its cells, the longest first, and the table after them."""

import argparse
import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import to_yaml
from surgstream.launch.jobs import note_submitted
from surgstream.launch.site import Site, load_site
from surgstream.launch.slurm import render, submit
from surgstream.launch.submit import split
from surgstream.launch.surroundings import check_venv
from surgstream.shards.order.sequence import check_batch
from surgstream.trainer.commands.suite import count_hours, read_plan, tell_plan
from surgstream.trainer.suite.cells import Cell, unique

JOBS = "jobs"
RECIPE = "recipe.yaml"

_TASK = "$SLURM_ARRAY_TASK_ID"
_PLAIN = re.compile(r"[\w/.-]+")
"""What a path may be made of where a batch script puts the number of a task behind it."""


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array of jobs, one for each of some cells.

    Attributes:
        name: `features`, `finetune`, `probe` or `readouts`.
        command: The surgstream command of its cells.
        cells: The cells, in the order of the array's numbers.
        after: Names of the arrays that have to have ended before.
    """

    name: str
    command: str
    cells: tuple[Cell, ...]
    after: tuple[str, ...] = ()


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream launch suite`."""
    overrides, words.weights = split(words.overrides)
    # A cell is small: a node each, unless the command says otherwise.
    site = load_site(words.site, ["nodes=1", *overrides])
    check_venv(site, dry_run=words.dry_run)

    plan = read_plan(words)
    out = plan.places.out
    if words.dry_run:
        sys.stdout.write(tell_plan(plan.cells, out))
        return 0

    arrays = list(arrays_of(plan.cells, out, count_hours))
    scripts = write_arrays(site, arrays, out, words.at_once)
    table = table_script(site, plan.words, out)
    sys.stdout.write(submit_suite(arrays, scripts, table, out))
    return 0


def arrays_of(cells: Sequence[Cell], out: Path, hours: Callable[[Cell], float]) -> Iterator[Array]:
    """The arrays of a suite's cells that are not done.

    Of the readouts that need the same features one comes in `features`, which extracts them, and the others after.

    Args:
        cells: All cells.
        out: The suite's directory.
        hours: How long a cell takes; NaN is not known.
    """
    todo = [cell for cell in unique(cells) if not cell.predictions(out)]
    takes = {cell.key: hours(cell) for cell in todo}
    # NaN has no order; what is not known comes last.
    todo.sort(key=lambda cell: -takes[cell.key] if math.isfinite(takes[cell.key]) else 0.0)

    first: dict[tuple[str, ...], Cell] = {}
    for cell in todo:
        if cell.reads_features:
            first.setdefault(_features_of(cell), cell)
    extracting = tuple(first.values())
    others = tuple(cell for cell in todo if cell.reads_features and cell not in extracting)

    found = (
        Array(name="features", command="probe", cells=extracting),
        Array(name="finetune", command="finetune", cells=_of(todo, "finetune")),
        Array(name="probe", command="probe", cells=_of(todo, "probe")),
        Array(name="readouts", command="probe", cells=others, after=("features",)),
    )
    yield from (array for array in found if array.cells)


def write_arrays(site: Site, arrays: Sequence[Array], out: Path, at_once: int) -> dict[str, str]:
    """Write what the jobs read, and their batch scripts.

    Args:
        site: The site; every cell gets all of its ranks.
        arrays: The arrays.
        out: The suite's directory, absolute.
        at_once: Tasks of an array that run at the same time.

    Returns:
        The script of each array.

    Raises:
        ConfigError: A cell's batch cannot be shared evenly among the ranks, or the directory has a name that a batch
            script cannot have a number behind.
    """
    if not _PLAIN.fullmatch(str(out)):
        raise ConfigError(
            f"--out: expected a folder whose path is of letters, digits and _ / . -, got {out}"
        )

    scripts = {}
    for array in arrays:
        folder = out / JOBS / array.name
        folder.mkdir(parents=True, exist_ok=True)
        for number, cell in enumerate(array.cells):
            _write_cell(cell, site, out)
            _link(folder / str(number), cell.folder(out))

        last = len(array.cells) - 1
        options = [f"--array=0-{last}%{at_once}", f"--output={folder}/slurm-%A_%a.log"]
        scripts[array.name] = render(
            site,
            [array.command, f"{folder}/{_TASK}/{RECIPE}"],
            run_dir=out,
            task_dir=f"{folder}/{_TASK}",
            name=f"suite-{out.name}-{array.name}",
            options=options,
        )
    return scripts


def table_script(site: Site, words: Sequence[str], out: Path) -> str:
    """The script of the job that draws the table, on one node's CPUs."""
    one = dataclasses.replace(site, nodes=1, gpus_per_node=0, ranks_per_node=1, launcher="srun")
    options = [f"--output={out}/{JOBS}/table-%j.log"]
    return render(
        one,
        ["suite", *words, "--table"],
        run_dir=out / JOBS,
        name=f"suite-{out.name}-table",
        options=options,
        requeues=False,
    )


def submit_suite(arrays: Sequence[Array], scripts: dict[str, str], table: str, out: Path) -> str:
    """Submit arrays and table; what an earlier call has submitted comes first, so no cell runs twice.

    Returns:
        A message for the user.

    Raises:
        LaunchError: Slurm does not take a job.
    """
    folder = out / JOBS
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(folder)
    jobs: dict[str, str] = {}
    page = ""
    for array in arrays:
        batch = folder / f"{array.name}.sbatch"
        batch.write_text(scripts[array.name], encoding="utf-8")
        job = submit(
            batch, *_after([*earlier, *(jobs[name] for name in array.after if name in jobs)])
        )
        jobs[array.name] = job
        for cell in array.cells:
            note_submitted(cell.folder(out), job)
        page += f"job {job}: {array.name}, {len(array.cells)} cells\n"

    batch = folder / "table.sbatch"
    batch.write_text(table, encoding="utf-8")
    job = submit(batch, *_after([*earlier, *jobs.values()]))
    (folder / "submitted.json").write_text(json.dumps([*jobs.values(), job]), encoding="utf-8")
    return (
        f"{page}job {job}: table, when they have ended, whatever came of them\n"
        f"  watch   surgstream status {out}/cells/*\n"
        f"  table   {out}/table.md and report.html\n"
        "  resume  the same command again does what is missing\n"
    )


def _of(cells: Sequence[Cell], command: str) -> tuple[Cell, ...]:
    return tuple(cell for cell in cells if cell.command == command and not cell.reads_features)


def _features_of(cell: Cell) -> tuple[str, ...]:
    """What decides the features of a cell: cells that agree in it share them."""
    seed = str(cell.seed) if cell.model.is_random else ""
    return (cell.task, cell.data.corpus, cell.model.sha256, seed, *cell.model.words)


def _write_cell(cell: Cell, site: Site, out: Path) -> None:
    """The recipe of a cell in its run directory."""
    recipe = cell.recipe
    assert recipe
    if not cell.reads_features:
        check_batch(recipe.global_batch_size, recipe.micro_batch_size, site.world_size)

    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = dataclasses.replace(recipe, run_dir=str(folder))
    (folder / RECIPE).write_text(to_yaml(recipe), encoding="utf-8")


def _link(link: Path, folder: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(folder)


def _after(jobs: Sequence[str]) -> list[str]:
    # Not `afterok`: a cell that fails is told in the table.
    return [f"--dependency=afterany:{':'.join(jobs)}"] if jobs else []


def _earlier(folder: Path) -> list[str]:
    """The jobs that the last call has submitted."""
    try:
        jobs = json.loads((folder / "submitted.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [job for job in jobs if isinstance(job, str) and job.isdecimal()]
