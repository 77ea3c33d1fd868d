"""A task that can be judged, and its labels: those in files, or those that were packed with the frames."""

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.layered import LayerLabels
from surgstream.shards.labels.packed import PackedLabels
from surgstream.shards.labels.timeline import Labels
from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import Stores
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import find_task, label_values
from surgstream.trainer.evaluation.tasks.resolving import resolve


def find_judged_task(word: str) -> TaskConfig:
    """The task that a word means, with labels and a split to be scored by.

    Args:
        word: The task; see `find_task`.

    Raises:
        ConfigError: There is no such task, or it has no labels or no split.
    """
    task = find_task(word)
    if not task.is_judged:
        raise ConfigError(f"{word}: expected a task with labels, got one of published values alone")
    if task.folds:
        raise ConfigError(
            f"{word}: expected one of its folds, got none; write {word}@FOLD with one of "
            f"{', '.join(task.folds)}"
        )
    if task.split is None:
        raise ConfigError(f"{word}: expected a task with a split, its ids are not known")
    return task


def open_labels(
    task: TaskConfig, folder: str | None, corpus: Storage | None
) -> tuple[TaskConfig, Labels]:
    """The labels of a task that can be judged, and the task with the ids of its videos where it names them by globs.

    Globs match what there are labels of: the videos of the corpus, or those that files of labels name.

    Args:
        task: The task.
        folder: The folder of its labels, or its address; None takes those of the corpus. Of masks and depth it is
            passed over.
        corpus: The packed frames; where a folder is given, masks and depth alone need them.

    Returns:
        The task, the same one where it has no globs, and its labels, of masks and depth a `LayerLabels`.

    Raises:
        ConfigError: A glob matches no video, or with the ids the task is wrong; the corpus has no such dataset, or
            packed labels do not say what the task asks for; or a corpus is needed, and none is there.
        ManifestError: The corpus is damaged.
        StorageError: It cannot be read.
    """
    labels = _open(task, folder, corpus)
    if not task.has_globs:
        return task, labels

    where = corpus.uri if corpus and (task.layer or not folder) else folder
    return resolve(task, labels.videos(), str(where)), labels


def with_ids(task: TaskConfig, folder: str | None, corpus: Storage) -> TaskConfig:
    """A task with the ids of its videos, for whoever needs no labels; see `open_labels`."""
    return open_labels(task, folder, corpus)[0] if task.has_globs else task


def _open(task: TaskConfig, folder: str | None, corpus: Storage | None) -> Labels:
    if task.layer:
        return open_layer_labels(task, corpus)

    assert task.labels
    values = label_values(task)
    if folder:
        return LabelFiles(task.labels, values, folder, Stores())
    assert corpus
    return PackedLabels.open(
        task.labels, values, corpus, task.dataset, rows_per_second=task.rows_per_second
    )


def open_layer_labels(task: TaskConfig, corpus: Storage | None) -> LayerLabels:
    """The rows of a task of masks or depth, with the layer that has the pictures; see `open_labels`."""
    assert task.layer
    if corpus is None:
        raise ConfigError(
            f"{task.name}: expected a packed corpus, as its layer {task.layer.name} has what is true; "
            "name it by --corpus SHARDS"
        )
    return LayerLabels.open(
        corpus, task.dataset, task.layer.name, rows_per_second=task.rows_per_second
    )
