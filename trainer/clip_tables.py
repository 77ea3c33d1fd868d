"""The clips that a recipe trains on, in numbers alone: of its corpus, or of its task."""

import importlib

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import SizedTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig


def training_clips(config: TrainConfig, *, check: bool = True) -> tuple[TrainConfig, SizedTable]:
    """Find the clips of a recipe. Those of a task need torch, which its predictions are collected with.

    Args:
        config: The recipe.
        check: List the store and compare sizes; see `FrameTable.open`.

    Returns:
        The recipe, as its task would have it, and the clips.

    Raises:
        SurgstreamError: The corpus or the labels of the task cannot be read, or do not fit the recipe.
    """
    data = config.data
    storage = open_storage(data.corpus, data.s3)
    frames = FrameTable.open(storage, fps=data.fps, check=check, datasets=data.datasets)
    if config.task is None:
        return config, frames

    learned = importlib.import_module("surgstream.trainer.finetuning.learned")
    task = learned.open_learned(config, frames)
    return learned.with_task(config, task), task.train.training_table
