"""Which corpora train on videos that a task judges by, as the corpora of `configs/pack` declare it."""

from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.trainer.evaluation.tasks.loading import FOLD


def packed_by(task: str) -> dict[str, tuple[str, ...]]:
    """The videos of a task's val and test that corpora pack for training.

    Args:
        task: The name of the task; with a fold behind it, of all its folds.

    Returns:
        By the name of the corpus, without those that pack none, the ids that they have there.
    """
    name = task.partition(FOLD)[0]
    found = {}
    for preset, path in presets("pack").items():
        datasets = load(CorpusConfig, path).datasets
        ids = [id for dataset in datasets for id in dataset.overlaps().get(name, ())]
        if ids:
            found[preset] = tuple(ids)
    return found
