"""Which corpora train on videos that a task judges by, as the corpora of `configs/pack` declare it."""

from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.trainer.evaluation.tasks.aliases import Alias
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import FOLD


def packed_by(task: TaskConfig) -> dict[str, tuple[str, ...]]:
    """The videos of a task's val and test that corpora pack for training; of one fold's, those of all folds.

    Returns:
        By the name of the corpus, without those that pack none, the ids that they have in the task.
    """
    name = task.name.partition(FOLD)[0]
    found = {}
    for preset, path in presets("pack").items():
        datasets = load(CorpusConfig, path).datasets
        ids = [
            _in_task(id, dataset.name, task)
            for dataset in datasets
            for id in dataset.overlaps().get(name, ())
        ]
        if ids:
            found[preset] = tuple(ids)
    return found


def _in_task(id: str, dataset: str, task: TaskConfig) -> str:
    """The task's id of a video of a dataset, which may be another one than the task's."""
    if dataset not in task.aliases:
        return id
    return Alias.parse(task.aliases[dataset]).from_there(id) or id
