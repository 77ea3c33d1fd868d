"""A task that can be judged, and its labels: those in files, or those that were packed with the frames."""

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.packed import PackedLabels
from surgstream.shards.labels.timeline import Labels
from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import Stores
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import find_task, label_values


def find_judged_task(word: str) -> TaskConfig:
    """The task that a word means, with labels and a split to be scored by.

    Args:
        word: The task; see `find_task`.

    Raises:
        ConfigError: There is no such task, or it has no labels or no split.
    """
    task = find_task(word)
    if task.labels is None:
        raise ConfigError(f"{word}: expected a task with labels, got one of published values alone")
    if task.folds:
        raise ConfigError(
            f"{word}: expected one of its folds, got none; write {word}@FOLD with one of "
            f"{', '.join(task.folds)}"
        )
    if task.split is None:
        raise ConfigError(f"{word}: expected a task with a split, its ids are not known")
    return task


def open_labels(task: TaskConfig, folder: str | None, corpus: Storage | None) -> Labels:
    """The labels of a task that can be judged.

    Args:
        task: The task.
        folder: The folder of its labels, or its address; None takes those of the corpus.
        corpus: The packed frames; they need not be there where a folder is given.

    Raises:
        ConfigError: The corpus has no such dataset, or packed labels do not say what the task asks for.
        ManifestError: The corpus is damaged.
        StorageError: It cannot be read.
    """
    assert task.labels
    values = label_values(task)
    if folder:
        return LabelFiles(task.labels, values, folder, Stores())
    assert corpus
    return PackedLabels.open(
        task.labels, values, corpus, task.dataset, rows_per_second=task.rows_per_second
    )
