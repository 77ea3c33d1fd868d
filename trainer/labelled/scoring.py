"""The main metric of a task for predictions of one of its splits."""

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.statistic import value_of
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import Predictions
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.labelled.clips import SplitClips


def asked_of(clips: SplitClips, task: TaskConfig) -> Asked:
    """The labelled rows of a split that the corpus has frames for, as they are matched with predictions."""
    rows: dict[str, TrueRows] = {video: clips.rows(video).true for video in clips.videos}
    return Asked(
        split=clips.split,
        videos=rows,
        others=frozenset(),
        groups=task.group_of(),
        row_seconds=task.row_seconds,
    )


def main_metric(predictions: Predictions, clips: SplitClips, task: TaskConfig) -> float:
    """The task's main metric; NaN where it is undefined.

    Args:
        predictions: The predictions for all videos of the split.
        clips: The split.
        task: The task.
    """
    asked = asked_of(clips, task)
    videos, _ = match(predictions, asked, clips.space)
    statistic = find_metric(task.main).compute(videos, clips.space)
    return value_of(statistic, len(videos))
