"""Tasks by name, and what metrics and labels need to know of them."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.configs.presets import find_preset, presets
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.values import LabelValues
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.split_config import SplitConfig
from surgstream.trainer.evaluation.tasks.splits import repeated

FOLD = "@"
"""Between the name of a task and one of its folds."""


def find_task(word: str) -> TaskConfig:
    """The task that a word means.

    Args:
        word: The name of one in `configs/evaluate/tasks`, or a file; with `@FOLD` behind it the task with the split of
            that fold, whose name it has. A fold may be a glob, as `@louo_*`: the test videos of all these folds.

    Raises:
        ConfigError: There is none, its file is wrong, or it has no such fold.
    """
    name, at, fold = word.partition(FOLD)
    task = load(TaskConfig, find_preset("evaluate/tasks", name) or Path(name))
    if not at:
        return task

    names = _folds(task, word)
    split = task.folds[names[0]] if len(names) == 1 else _together(task, names, word)
    return replace(task, name=f"{task.name}{FOLD}{fold}", split=split, folds={})


def each_fold(word: str) -> tuple[str, ...]:
    """The words of the tasks that a word stands for: those of its folds where it has a glob of them, else itself.

    Raises:
        ConfigError: There is no such task, its file is wrong, or it has no such fold.
    """
    name, at, _ = word.partition(FOLD)
    if not at:
        return (word,)
    task = load(TaskConfig, find_preset("evaluate/tasks", name) or Path(name))
    return tuple(f"{name}{FOLD}{fold}" for fold in _folds(task, word))


def _folds(task: TaskConfig, word: str) -> list[str]:
    """The names of the folds that a word names."""
    _, _, fold = word.partition(FOLD)
    names = fnmatch.filter(task.folds, fold)
    if not names:
        known = ", ".join(task.folds) or "those of the task, which has none"
        hint = did_you_mean(fold, task.folds)
        raise ConfigError(f"{word}: expected one of the folds {known}, got {fold!r}{hint}")
    return names


def _together(task: TaskConfig, folds: Sequence[str], word: str) -> SplitConfig:
    """The test videos of several folds; there is nothing to train on, as a video of one fold's test is of another's."""
    videos = [id for fold in folds for id in task.folds[fold].entries()["test"]]
    if twice := repeated(videos):
        raise ConfigError(
            f"{word}: expected folds that test each video once, {twice[0]} is in several of "
            f"{', '.join(folds)}"
        )
    source = "The test videos of several folds, each predicted by the model of its own fold."
    return SplitConfig(test=tuple(videos), source=source)


def all_tasks() -> dict[str, TaskConfig]:
    """The tasks in `configs/evaluate/tasks`, by name."""
    return {name: load(TaskConfig, path) for name, path in presets("evaluate/tasks").items()}


def label_values(task: TaskConfig) -> LabelValues:
    """What the labels of a task may be."""
    return LabelValues(kind=label_space(task).kind_of_rows, classes=task.classes)


def label_space(task: TaskConfig) -> LabelSpace:
    """What metrics need to know of the labels of a task.

    The parts of which names of classes are made are numbered in the order in which they first appear.
    """
    number_of = {name: number for number, name in enumerate(task.classes)}

    def numbered(allowed: dict[str, tuple[str, ...]]) -> dict[int, tuple[int, ...]]:
        return {
            number_of[name]: tuple(number_of[other] for other in others)
            for name, others in allowed.items()
        }

    components = {}
    if task.components:
        parts = zip(*(name.split("/") for name in task.classes), strict=True)
        for component, words in zip(task.components, parts, strict=True):
            distinct = list(dict.fromkeys(words))
            components[component] = tuple(distinct.index(word) for word in words)

    return LabelSpace(
        kind=task.kind,
        classes=task.classes,
        late=numbered(task.late),
        early=numbered(task.early),
        components=components,
        null_classes=tuple(number_of[name] for name in task.null_classes),
    )
