"""Runs what the table is made of, each by the command that a user would call, and nothing twice."""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import read_tree
from surgstream.configs.presets import presets
from surgstream.trainer.config import load_recipe

RANDOM, PIXELS = "random", "pixels"
"""Yardsticks: the encoder with weights of its seed, and mean colours of patches."""

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


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What decides the numbers.

    Attributes:
        budget: Operations of a run, those of its teacher included.
        seeds: Of pretraining, and of the probes of its encoder.
        train_times: How many operations are pretrained on: 13 times as many, as `surgstream synth --times` has it, 5
            times as many of them cholecystectomies.
        train_seconds: Their mean length.
        test_times: How many others encoders are judged by: 5 times as many, all cholecystectomies.
        test_seconds: Their mean length.
        num_train: Operations that probes learn from, the first ones. They alone may be called as those that are
            pretrained on: a suite takes what has the same name for the same video.
        num_val: Operations that they are chosen by, the next ones; all others are tested on.
        protocols: For each task its protocol, and words for it.
    """

    budget: float
    seeds: tuple[int, ...]
    train_times: int
    train_seconds: int
    test_times: int
    test_seconds: int
    num_train: int
    num_val: int
    protocols: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        """Refuse names that an operation to judge by would share with one that is pretrained on."""
        if 5 * self.train_times > self.num_train:
            raise ValueError(
                f"num_train: expected {5 * self.train_times} or more, 5 times train_times, got {self.num_train}"
            )

    def split(self) -> dict[str, list[str] | str]:
        """The operations to train, to choose and to test, as a task's file has them."""
        first_test = self.num_train + self.num_val + 1
        bounds = {
            "train": (1, self.num_train),
            "val": (self.num_train + 1, first_test - 1),
            "test": (first_test, 5 * self.test_times),
        }
        ids = {
            name: [f"larkspur_[{first:02d}-{last:02d}]"] for name, (first, last) in bounds.items()
        }
        return {**ids, "source": "Ours: the first operations are learned from, the last tested on."}


@dataclass(frozen=True)
class Places:
    """Where everything lies below a folder.

    Attributes:
        root: The folder.
        budget: Operations of a run; runs of other budgets lie beside.
    """

    root: Path
    budget: float

    @property
    def shards(self) -> Path:
        """What is pretrained on."""
        return self.root / "shards"

    @property
    def labels(self) -> Path:
        """The operations to judge by, and their labels."""
        return self.root / "operations"

    @property
    def tests(self) -> Path:
        """These operations, packed."""
        return self.root / "tests"

    @property
    def suite(self) -> Path:
        """Probes of all encoders."""
        return self.root / "suite"

    def task(self, name: str) -> Path:
        """A task with the split of the experiment."""
        return self.root / "tasks" / f"{name}.yaml"

    def suite_file(self, seed: int) -> Path:
        """The suite of one seed."""
        return self.root / "suites" / f"seed{seed}.yaml"

    def run(self, name: str, seed: int, share: float = 1.0) -> Path:
        """A pretraining run; a teacher's has a share of the operations."""
        part = "" if share == 1 else f"_{share:.2f}"
        return self.root / f"{self.budget / 1e12:g}_tflop" / f"{name}{part}" / f"seed{seed}"

    def features(self, name: str, seed: int) -> Path:
        """Features of the operations to judge by, by an encoder."""
        of_budget = self.root if name in (RANDOM, PIXELS) else self.run(name, seed).parents[1]
        return of_budget / "features" / name / f"seed{seed}"


def prepare(places: Places, setting: Setting) -> None:
    """Operations to pretrain on and others to judge by, packed, and the tasks and suites over them."""
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
        CommandError: A run failed, or was asked to stop.
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
    command = ["pretrain", path, f"run_dir={own.folder}", *words, *own.length.words]
    run(command, own.folder.with_suffix(".log"), own.checkpoint.exists)
    if not own.checkpoint.exists():
        steps = f"{own.length.steps:,}"
        raise CommandError(f"{own.folder}: stopped before step {steps}; start again to go on")
    return *before, own


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
