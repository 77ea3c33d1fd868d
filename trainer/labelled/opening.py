"""A task by its word, with its labels, over a packed corpus."""

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, open_labels
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.config import TaskClipsConfig


def open_task(
    word: str,
    labels: str | None,
    settings: TaskClipsConfig,
    corpus: FrameTable,
    *,
    num_frames: int,
    of_pixels: bool = False,
) -> TaskClips:
    """Open the clips of a task.

    Args:
        word: The task; see `find_task`.
        labels: The folder of its labels, or its address; None takes those that were packed with the frames.
        settings: Which clips to take.
        corpus: The packed frames, each of which is shown.
        num_frames: Frames of a clip.
        of_pixels: Whether pixels may have the labels, as those of masks and depth, and not rows alone.

    Raises:
        ConfigError: There is no such task, it cannot be judged by, or the settings or the corpus do not fit it.
        LabelError: Labels are missing or malformed.
    """
    task = find_judged_task(word)
    if not of_pixels:
        _ = label_space(task).kind_of_rows
    task, source = open_labels(task, labels, corpus.storage)
    return TaskClips(task, settings, corpus, source, num_frames=num_frames)
