"""A task by its word, with its labels, over a packed corpus."""

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.packed import PackedLabels
from surgstream.shards.labels.timeline import Labels
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import Stores
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import find_task, label_values
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.config import TaskClipsConfig


def open_task(
    word: str,
    labels: str | None,
    settings: TaskClipsConfig,
    corpus: FrameTable,
    *,
    num_frames: int,
) -> TaskClips:
    """Open the clips of a task.

    Args:
        word: The task; see `find_task`.
        labels: The folder of its labels, or its address; None takes those that were packed with the frames.
        settings: Which clips to take.
        corpus: The packed frames, each of which is shown.
        num_frames: Frames of a clip.

    Raises:
        ConfigError: There is no such task, it cannot be judged by, or the settings or the corpus do not fit it.
        LabelError: Labels are missing or malformed.
    """
    task = find_task(word)
    check_judged(task, word)
    return TaskClips(
        task, settings, corpus, open_labels(task, labels, corpus), num_frames=num_frames
    )


def check_judged(task: TaskConfig, word: str) -> None:
    """Make sure that a task has labels and a split, to be scored by."""
    if task.labels is None:
        raise ConfigError(f"{word}: expected a task with labels, got one of published values alone")
    if task.folds:
        raise ConfigError(
            f"{word}: expected one of its folds, got none; write {word}@FOLD with one of "
            f"{', '.join(task.folds)}"
        )
    if task.split is None:
        raise ConfigError(f"{word}: expected a task with a split, its ids are not known")


def open_labels(task: TaskConfig, place: str | None, corpus: FrameTable) -> Labels:
    """The labels of a task from files, or those that were packed with the frames where no place is given."""
    assert task.labels
    if place:
        return LabelFiles(task.labels, label_values(task), place, Stores())
    table = FrameTable.open(corpus.storage, fps=task.rows_per_second, check=False)
    return PackedLabels(task.labels, label_values(task), table, task.dataset)
