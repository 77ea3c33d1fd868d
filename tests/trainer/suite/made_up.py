"""A suite over a small labelled corpus, and cells that are done because somebody wrote their predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgstream.trainer.evaluation.predictions.stored import (
    PredictedVideo,
    Predictions,
    write_predictions,
)
from surgstream.trainer.evaluation.tasks.loading import each_fold, find_task
from surgstream.trainer.runs.files import predictions_file
from surgstream.trainer.suite.cells import Cell, Places, plan_cells
from surgstream.trainer.suite.config import PartConfig, SuiteConfig
from surgstream.trainer.suite.data import Corpora, open_task_data
from surgstream.trainer.suite.models import read_models
from tests.helpers.labelled import NUM_CLASSES, class_of, write_labelled, write_task

TEST_VIDEOS = {6: 14, 7: 12}
"""The numbers of the test videos, and their labelled seconds."""


@dataclass(frozen=True)
class MadeUp:
    """A folder with a corpus, its labels, and tasks."""

    folder: Path
    shards: Path
    labels: Path

    @property
    def places(self) -> Places:
        return Places(out=self.folder / "out", labels=str(self.labels))

    def task(self, name: str = "phases", **changes: object) -> str:
        return write_task(self.folder, name, **changes)

    def cells(self, suite: SuiteConfig, words: Sequence[str]) -> list[Cell]:
        corpora = Corpora([str(self.shards)])
        tasks = {task for part in suite.parts for word in part.tasks for task in each_fold(word)}
        data = {task: open_task_data(task, corpora, str(self.labels)) for task in tasks}
        return list(plan_cells(suite, read_models(words, suite), data, self.places))


def make(folder: Path) -> MadeUp:
    shards, labels = write_labelled(folder)
    return MadeUp(folder, shards, labels)


def suite_of(
    *tasks: str,
    protocols: Sequence[str] = ("probe_ridge",),
    seeds: Sequence[int] = (0, 1),
    **changes: object,
) -> SuiteConfig:
    settings = {"title": "Grey pictures & more", "yardsticks": (), **changes}
    part = PartConfig(tasks=tasks, protocols=tuple(protocols))
    return SuiteConfig(parts=(part,), seeds=tuple(seeds), **settings)  # type: ignore[arg-type]


def finish(cell: Cell, out: Path, errors: float, about: Mapping[str, object] | None = None) -> None:
    """Write the predictions of a cell, of which some share is wrong, and what their maker tells."""
    draws = np.random.default_rng([cell.seed, len(cell.model.name)])
    wanted = find_task(cell.task).videos("test")
    videos = {}
    for number, length in TEST_VIDEOS.items():
        if f"v{number}" not in wanted:
            continue
        truth = np.array([class_of(number, second) for second in range(length)])
        wrong = draws.uniform(size=length) < errors
        scores = np.eye(NUM_CLASSES)[np.where(wrong, (truth + 1) % NUM_CLASSES, truth)]
        videos[f"v{number}"] = PredictedVideo(seconds=np.arange(float(length)), scores=scores)

    path = predictions_file(cell.folder(out), "test")
    path.parent.mkdir(parents=True)
    classes = tuple(f"phase{number}" for number in range(NUM_CLASSES))
    predictions = Predictions(where="", classes=classes, videos=videos, about=about or {})
    write_predictions(path, predictions)
