"""The cells of a suite: one encoder that learns one task by one protocol with one seed."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from surgstream.configs.changes import given
from surgstream.configs.loading import load, read_tree
from surgstream.configs.presets import find_preset
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.encoders.config import PIXELS, TIMM
from surgstream.trainer.evaluation.tasks.loading import FOLD, each_fold
from surgstream.trainer.readouts.config import KnnConfig, ProbeRecipe, RidgeConfig, TemporalConfig
from surgstream.trainer.runs.files import tests_in
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.data import TaskData
from surgstream.trainer.suite.models import SuiteModel

CELLS = "cells"
FEATURES = "features"
LEAKS = "leaks"
"""Folders of a suite: its runs, and what they share."""

_ON_FEATURES = RidgeConfig | KnnConfig | TemporalConfig
_KEY_DIGITS = 12

_DECIDES_NOTHING = (
    "run_dir", "labels", "features", "weights", "warm_start.weights", "protocol", "task", "checkpoint", "metrics",
    "resume", "timeout_seconds", "report_every_steps", "save_every_minutes", "data.corpus", "data.read", "data.s3",
    "data.cache_dir", "data.cache_bytes", "data.stall_warning_seconds", "data.audit_log", "leaks",
)  # fmt: skip
"""Keys of recipes that decide where and how fast, or that stand for contents that a cell's key has anyway."""

Recipe = ProbeRecipe | TrainConfig


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A run of a suite.

    Attributes:
        task: The task; of several folds one of them.
        asked: The task as the suite names it: of several folds all of them.
        protocol: The protocol, as the suite names it.
        share: The share of the training videos.
        model: The encoder.
        seed: Of everything random.
        data: The task's data.
        command: The command that does it.
        words: What follows the protocol, but for the run directory.
        key: What decides its predictions, as the beginning of a SHA-256: the recipe, the weights, the task, its frames
            and labels. Empty where something is missing.
        recipe: What the command will run; None where something is missing.
        files: How many files of test predictions it has once it is done.
        missing: Why it cannot be done; empty where it can.
    """

    task: str
    asked: str
    protocol: str
    share: float
    model: SuiteModel
    seed: int
    data: TaskData
    command: Literal["finetune", "probe"]
    words: tuple[str, ...] = ()
    key: str = ""
    recipe: Recipe | None = None
    files: int = 1
    missing: str = ""

    @property
    def line(self) -> tuple[str, str, float]:
        """The line of the table that it belongs to."""
        return self.asked, self.protocol, self.share

    @property
    def asks(self) -> str:
        """What it learns, as lists of cells have it: the task, with the share of its videos where that is not all."""
        name, at, fold = self.task.partition(FOLD)
        share = "" if self.share == 1 else f", {100 * self.share:g} %"
        return f"{Path(name).stem}{at}{fold}{share}"

    @property
    def reads_features(self) -> bool:
        """Whether it is a readout of features that others of its encoder share."""
        recipe = self.recipe
        return isinstance(recipe, ProbeRecipe) and isinstance(recipe.readout, _ON_FEATURES)

    def folder(self, out: Path) -> Path:
        """Its run directory."""
        name = f"{Path(self.task).stem}-{Path(self.protocol).stem}-{self.key}"
        return out / CELLS / name.replace("@", "-")

    def predictions(self, out: Path) -> list[Path]:
        """Its test predictions, once it is done; none before."""
        found = tests_in(self.folder(out)) if self.key else []
        return found if len(found) == self.files else []


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a suite reads and writes.

    Attributes:
        out: Its directory.
        labels: The folder of labels, or its address; None takes those that were packed.
    """

    out: Path
    labels: str | None


def plan_cells(
    suite: SuiteConfig, models: Sequence[SuiteModel], data: dict[str, TaskData], places: Places
) -> Iterator[Cell]:
    """All cells of a suite, those of a line together, encoder after encoder.

    Args:
        suite: The suite.
        models: The encoders.
        data: Of each task, those of folds by themselves.
        places: Where it reads and writes.

    Raises:
        ConfigError: A protocol is not there, or a word does not fit it.
    """
    for part in suite.parts:
        lines = product(part.tasks, part.protocols, part.shares)
        for (asked, protocol, share), model in product(lines, models):
            words = part.set if share == 1 else (*part.set, f"clips.share={share:g}")
            for task in each_fold(asked):
                cells = _cells(suite, words, task, protocol, model, data[task], places)
                yield from (replace(cell, asked=asked, share=share) for cell in cells)


def _cells(
    suite: SuiteConfig,
    settings: Sequence[str],
    task: str,
    protocol: str,
    model: SuiteModel,
    data: TaskData,
    places: Places,
) -> Iterator[Cell]:
    path = find_preset("evaluate/protocols", protocol) or Path(protocol)
    command: Literal["finetune", "probe"] = (
        "probe" if read_tree(path).get("readout") else "finetune"
    )
    missing = data.missing or _cannot(model, command)
    common: dict[str, Any] = {
        "task": task,
        "asked": task,
        "protocol": protocol,
        "share": 1.0,
        "model": model,
        "data": data,
        "command": command,
    }
    if missing:
        yield Cell(**common, seed=suite.seeds[0], missing=missing)
        return

    for seed in suite.seeds:
        words = [*settings, f"task={task}", f"seed={seed}", f"data.corpus={data.corpus}"]
        if places.labels:
            words.append(f"labels={places.labels}")
        words += _words_of(model, command)
        words += [f"leaks.found={suite.leaks}", f"leaks.cache={places.out / LEAKS}"]
        recipe = _recipe(command, path, words)
        if isinstance(recipe, ProbeRecipe) and isinstance(recipe.readout, _ON_FEATURES):
            # All probes of an encoder read the features that the first of them wrote.
            words.append(f"features={places.out / FEATURES}")
            recipe = replace(recipe, features=str(places.out / FEATURES))

        yield Cell(
            **common,
            seed=seed,
            words=tuple(words),
            key=_key(recipe, model, data),
            recipe=recipe,
            files=_num_files(recipe),
        )
        if not _differs_by_seed(recipe, model):
            return


def _cannot(model: SuiteModel, command: str) -> str:
    """Why an encoder cannot be used as a command has it; empty where it can."""
    if command == "probe":
        return ""
    if model.weights == PIXELS or TIMM in model.weights:
        return f"fine-tuning takes video encoders, {model.weights} is none"
    others = [
        word for word in model.words if not word.startswith(("encoder.layout=", "encoder.prefix="))
    ]
    if others:
        return f"fine-tuning takes encoder.layout and encoder.prefix alone, not {others[0]}"
    return ""


def _words_of(model: SuiteModel, command: str) -> Iterator[str]:
    """How a command is told of an encoder."""
    if command == "probe":
        yield f"weights={model.weights}"
        yield from model.words
    elif model.is_random:
        yield "warm_start=null"
    else:
        yield f"warm_start.weights={model.weights}"
        yield from (word.replace("encoder.", "warm_start.", 1) for word in model.words)


def _recipe(command: str, path: Path, words: Sequence[str]) -> Recipe:
    if command == "probe":
        return load(ProbeRecipe, path, words)
    return load_recipe(path, words)


def _differs_by_seed(recipe: Recipe, model: SuiteModel) -> bool:
    """Whether another seed gives other predictions; a temporal readout has seeds of its own."""
    if isinstance(recipe, TrainConfig) or not isinstance(recipe.readout, _ON_FEATURES):
        return True
    return model.is_random and not isinstance(recipe.readout, TemporalConfig)


def _num_files(recipe: Recipe) -> int:
    if isinstance(recipe, ProbeRecipe) and isinstance(recipe.readout, TemporalConfig):
        return len(recipe.readout.seeds)
    return 1


def _key(recipe: Recipe, model: SuiteModel, data: TaskData) -> str:
    decides = {
        key: value
        for key, value in given(recipe)
        if not f"{key}.".startswith(tuple(f"{each}." for each in _DECIDES_NOTHING))
    }
    decided = [decides, model.sha256, model.is_random, data.identity]
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()
    return digest[:_KEY_DIGITS]


def unique(cells: Sequence[Cell]) -> list[Cell]:
    """Those that can be done, each key once: two names of the same weights share theirs."""
    found = {cell.key: cell for cell in cells if cell.key}
    return list(found.values())
