"""The models whose predictions are scored, as their files tell them, with what is known of leaks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions, together
from surgstream.trainer.evaluation.predictions.tables import read_table
from surgstream.trainer.evaluation.scorer import Model
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.lineage.verdict import LEAKS, told_by
from surgstream.trainer.lineage.verdict import together as join_verdicts


def read_models(
    files: Sequence[tuple[str, Sequence[Path]]],
    task: TaskConfig,
    space: LabelSpace,
    asked: Asked,
    fps: float | None = None,
) -> Iterator[Model]:
    """Read the predictions of models, and match them with what is asked.

    Args:
        files: For each seed of a model its name, and the files that together have all videos: one, or one a fold.
        task: The task.
        space: What labels it has.
        asked: Its labelled rows.
        fps: What the column `frame` of CSV files counts a second.

    Yields:
        The models in the order in which they are named first.

    Raises:
        EvaluationError: A file is damaged, or does not fit.
    """
    by_name: dict[str, list[Sequence[Path]]] = {}
    for name, parts in files:
        by_name.setdefault(name, []).append(parts)

    for name, of_seeds in by_name.items():
        seeds: list[Videos] = []
        told: list[str] = []
        digests = {}
        about: dict[str, Any] = {}
        verdicts = []
        for parts in of_seeds:
            found = [_read(path, task, space, fps) for path in parts]
            for path, predictions in zip(parts, found, strict=True):
                digests[str(path)] = predictions.sha256
                verdicts.append(told_by(predictions.about))
                about |= {key: value for key, value in predictions.about.items() if key != LEAKS}
            videos, sentences = match(together(found), asked, space)
            seeds.append(videos)
            told += sentences
        yield Model(
            name=name,
            seeds=tuple(seeds),
            told=tuple(told),
            files=digests,
            about=about,
            leaks=join_verdicts(verdicts).on(asked.split, asked.videos),
        )


def _read(path: Path, task: TaskConfig, space: LabelSpace, fps: float | None) -> Predictions:
    if path.suffix == ".npz":
        return read_predictions(path)
    per_video = bool(task.labels and task.labels.per_video)
    return read_table(path, space, per_video=per_video, frames_per_second=fps)
