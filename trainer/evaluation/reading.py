"""The models whose predictions are scored, as their files tell them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.evaluation.predictions.tables import read_table
from surgstream.trainer.evaluation.scorer import Model
from surgstream.trainer.evaluation.tasks.config import TaskConfig


def read_models(
    files: Sequence[tuple[str, Path]],
    task: TaskConfig,
    space: LabelSpace,
    asked: Asked,
    fps: float | None = None,
) -> Iterator[Model]:
    """Read the predictions of models, and match them with what is asked.

    Args:
        files: A model's name and a file for each of its seeds.
        task: The task.
        space: What labels it has.
        asked: Its labelled rows.
        fps: What the column `frame` of CSV files counts a second.

    Yields:
        The models in the order in which they are named first.

    Raises:
        EvaluationError: A file is damaged, or does not fit.
    """
    by_name: dict[str, list[Path]] = {}
    for name, path in files:
        by_name.setdefault(name, []).append(path)

    for name, paths in by_name.items():
        seeds: list[Videos] = []
        told: list[str] = []
        digests = {}
        about: dict[str, Any] = {}
        for path in paths:
            predictions = _read(path, task, space, fps)
            videos, sentences = match(predictions, asked, space)
            seeds.append(videos)
            told += sentences
            digests[str(path)] = predictions.sha256
            about |= predictions.about
        yield Model(name=name, seeds=tuple(seeds), told=tuple(told), files=digests, about=about)


def _read(path: Path, task: TaskConfig, space: LabelSpace, fps: float | None) -> Predictions:
    if path.suffix == ".npz":
        return read_predictions(path)
    per_video = bool(task.labels and task.labels.per_video)
    return read_table(path, space, per_video=per_video, frames_per_second=fps)
