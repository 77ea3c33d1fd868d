"""Tasks by name, and what metrics and labels need to know of them."""

from dataclasses import replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.configs.presets import find_preset, presets
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.values import LabelValues
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.tasks.config import TaskConfig

FOLD = "@"
"""Between the name of a task and one of its folds."""


def find_task(word: str) -> TaskConfig:
    """The task that a word means.

    Args:
        word: The name of one in `configs/evaluate/tasks`, or a file; with `@FOLD` behind it the task with the split of
            that fold, whose name it has.

    Raises:
        ConfigError: There is none, its file is wrong, or it has no such fold.
    """
    name, at, fold = word.partition(FOLD)
    task = load(TaskConfig, find_preset("evaluate/tasks", name) or Path(name))
    if not at:
        return task

    if fold not in task.folds:
        known = ", ".join(task.folds) or "those of the task, which has none"
        hint = did_you_mean(fold, task.folds)
        raise ConfigError(f"{word}: expected one of the folds {known}, got {fold!r}{hint}")
    return replace(task, name=f"{task.name}{FOLD}{fold}", split=task.folds[fold], folds={})


def all_tasks() -> dict[str, TaskConfig]:
    """The tasks in `configs/evaluate/tasks`, by name."""
    return {name: load(TaskConfig, path) for name, path in presets("evaluate/tasks").items()}


def label_values(task: TaskConfig) -> LabelValues:
    """What the labels of a task may be."""
    return LabelValues(kind=task.kind, classes=task.classes)


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
