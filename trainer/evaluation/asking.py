"""What is asked of predictions for a task: its labelled rows, and who else has packed these videos."""

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.timeline import Labels, TrueRows
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.matching import Asked
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.packed import packed_by


def ask(task: TaskConfig, labels: Labels, split: str, where: str) -> Asked:
    """The labelled rows of a split.

    Args:
        task: The task.
        labels: Its labels.
        split: `train`, `val` or `test`.
        where: The place of the labels, for messages.

    Raises:
        ConfigError: The task has no videos of this split.
        EvaluationError: A video has no labelled row.
        LabelError: Labels are missing or malformed.
    """
    chosen = task.videos(split)
    if not chosen:
        raise ConfigError(f"{task.name}: expected videos in the {split} split, got none")

    known = {video for name in ("train", "val", "test") for video in task.videos(name)}
    videos = {video: labels.rows(video) for video in chosen}
    for video, rows in videos.items():
        if not len(rows.seconds):
            raise EvaluationError(
                f"{where}: {video}: expected labelled rows, as it is of the {split} split, got none"
            )
    return Asked(
        split=split,
        videos=videos,
        others=frozenset(known - {*chosen}),
        groups=labels.groups() | task.group_of(),
        row_seconds=task.row_seconds,
    )


def training_rows(task: TaskConfig, labels: Labels) -> list[TrueRows] | None:
    """The labelled rows of all training videos that have some; None where some videos are not at hand, or none has."""
    videos = task.videos("train")
    if not videos or not all(map(labels.has, videos)):
        return None
    return [rows for rows in map(labels.rows, videos) if len(rows.seconds)] or None


def packed_by_presets(task: TaskConfig, asked: Asked) -> dict[str, tuple[str, ...]]:
    """The presets that pack some of the videos for pretraining, and which, but for those of other splits."""
    found = {
        corpus: tuple(video for video in videos if video not in asked.others)
        for corpus, videos in packed_by(task).items()
    }
    return {corpus: videos for corpus, videos in found.items() if videos}
