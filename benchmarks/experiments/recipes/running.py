"""Runs what the table is made of, each by the command that a user would call, and nothing twice."""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import yaml

from surgstream.benchmarks.experiments.recipes.budget import (
    TEACHER_SHARE,
    Schedule,
    same_encoder,
    schedule,
    teacher_of,
)
from surgstream.benchmarks.experiments.recipes.places import Places, Setting
from surgstream.configs.changes import changes
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import read_tree, to_tree
from surgstream.configs.presets import presets
from surgstream.trainer.config import RUN_RECIPES, TrainConfig, load_recipe

TRAINED_ON = (
    *("--seed", "0", "--datasets", "larkspur,foxglove,speedwell,meander"),
    "--no-frame-numbers",
)
JUDGED_BY = ("--seed", "1", "--datasets", "larkspur", "--no-frame-numbers")
"""Operations of two seeds, so that none is in both."""

PACKING = ("fps=5", "short_side=80", "split=all")

ALONE = ("held_out=null", "probe=null", "data.audit_log=false", "metrics.pictures_every_steps=0")
"""Runs only train: what judges them comes after, and counts for none of them."""

SAVING = ("checkpoint.every_steps=200", "checkpoint.keep_last=1")


class CommandError(Exception):
    """A command failed."""


def prepare(places: Places, setting: Setting) -> None:
    """Operations to pretrain on and others to judge by, packed, and the tasks and suites over them.

    Raises:
        CommandError: A command failed, or the folder has other operations.
    """
    _check_operations(places.root / "operations.json", setting)

    videos = places.root / "videos"
    train = (*TRAINED_ON, "--times", setting.train_times, "--seconds", setting.train_seconds)
    test = (*JUDGED_BY, "--times", setting.test_times, "--seconds", setting.test_seconds)
    corpora = (
        (videos, train, "corpus.yaml", places.shards),
        (places.labels, test, "evaluate.yaml", places.tests),
    )
    for folder, words, corpus, shards in corpora:
        log = places.root / f"{shards.name}.log"
        run(["synth", folder, *words], log, (folder / corpus).exists, new_folder=folder)
        run(["pack", folder / corpus, shards, *PACKING], log, (shards / "manifest.json").exists)

    tasks = presets("evaluate/tasks")
    for name in setting.protocols:
        write(places.task(name), {**read_tree(tasks[name]), "split": setting.split()})
    for seed in setting.seeds:
        parts = [
            {"tasks": [str(places.task(name))], "protocols": [protocol], "set": words}
            for name, (protocol, *words) in setting.protocols.items()
        ]
        suite = {"title": "All tiny recipes", "parts": parts, "seeds": [seed], "yardsticks": []}
        write(places.suite_file(seed), suite)


def _check_operations(path: Path, setting: Setting) -> None:
    """Write down what operations a folder has; raise CommandError where they are others."""
    asked = {field.name: getattr(setting, field.name) for field in fields(setting)}
    expected = {name: number for name, number in asked.items() if isinstance(number, int)}
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(expected) + "\n")

    found = json.loads(path.read_text(encoding="utf-8"))
    if found != expected:
        raise CommandError(f"{path}: expected {expected}, got {found}; take another folder")


class Run(NamedTuple):
    """A run that is done.

    Attributes:
        folder: Its directory.
        length: Its length.
    """

    folder: Path
    length: Schedule

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return self.folder / "checkpoints" / f"step_{self.length.steps:08d}"


def pretrain(
    places: Places, name: str, seed: int, budget: float, share: float = 1.0
) -> tuple[Run, ...]:
    """Pretrain a recipe, unless that is done.

    Args:
        places: Where everything lies.
        name: The recipe.
        seed: Its seed.
        budget: Operations, those of a teacher included.
        share: What part these are of the experiment's; of a teacher less than all.

    Returns:
        Its run, behind that of its teacher where it has one.

    Raises:
        CommandError: A run failed, was asked to stop, or has begun with another recipe.
    """
    path = presets("pretrain")[name]
    words = [*same_encoder(path), *ALONE, *SAVING, f"data.corpus={places.shards}", f"seed={seed}"]

    before: tuple[Run, ...] = ()
    teacher = teacher_of(load_recipe(path))
    if teacher:
        part = TEACHER_SHARE * share
        before = pretrain(places, teacher.recipe, seed, TEACHER_SHARE * budget, part)
        words.append(f"{teacher.key}={before[-1].checkpoint}")

    left = budget - sum(run.length.flops for run in before)
    own = Run(places.run(name, seed, share), schedule(load_recipe(path, words), left))
    words += [f"run_dir={own.folder}", *own.length.words]
    _check_recipe(own, load_recipe(path, words))
    command = ["pretrain", path, *words]
    run(command, own.folder.with_suffix(".log"), own.checkpoint.exists)
    if not own.checkpoint.exists():
        steps = f"{own.length.steps:,}"
        raise CommandError(f"{own.folder}: stopped before step {steps}; start again to go on")
    return *before, own


def _check_recipe(own: Run, config: TrainConfig) -> None:
    """Raise CommandError where a run has begun with another recipe, as one of an earlier commit may have."""
    path = own.folder / RUN_RECIPES[-1]
    if not path.exists():
        return
    if found := changes(to_tree(load_recipe(path)), config):
        raise CommandError(
            f"{own.folder}: expected a run of this recipe, got one of another: {'; '.join(found)}; remove it, "
            "and start again"
        )


def run(
    words: Sequence[object],
    log: Path,
    is_done: Callable[[], bool],
    new_folder: Path | None = None,
) -> None:
    """Run a command of ours in one thread, unless it is done, and keep what it says.

    Its process has the log's lock: whoever starts the experiment again after a SIGKILL waits for what outlived it.

    Args:
        words: What follows `surgstream`.
        log: The file that keeps what it says.
        is_done: Whether it has nothing to do.
        new_folder: A folder that it wants to make itself; what an earlier start has left there is removed.

    Raises:
        CommandError: It failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        if is_done():
            return
        # An earlier start has said so in the log; a folder that was there before it is not ours
        if new_folder and new_folder.exists() and output.tell():
            shutil.rmtree(new_folder)
        output.write(f"surgstream {shlex.join(map(str, words))}\n".encode())
        output.flush()

        ended = subprocess.run(
            [sys.executable, "-m", "surgstream", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    if ended.returncode:
        raise CommandError(f"surgstream {words[0]}: exit status {ended.returncode}; see {log}")


def write(path: Path, tree: object) -> None:
    """Write a YAML file, and its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, yaml.safe_dump(tree, sort_keys=False))
