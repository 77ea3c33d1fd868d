"""The task that a run learns: its three splits, and what its objective must know of its labels."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.opening import open_task
from surgstream.trainer.objectives.config import SupervisedConfig

log = logging.getLogger(__name__)

_MIN_STD = 1e-6
"""Labels that are nearly all the same are not divided by less."""


@dataclass(frozen=True, eq=False)
class LearnedTask:
    """A task over the corpus of a run.

    Attributes:
        config: The task.
        train: The clips that are learned.
        val: Those that the best weights are chosen by; None where the task has no such videos.
        test: Those that are predicted once, at the end.
    """

    config: TaskConfig
    train: SplitClips
    val: SplitClips | None
    test: SplitClips


def open_learned(config: TrainConfig, corpus: FrameTable) -> LearnedTask:
    """Open the task of a recipe over its corpus.

    Args:
        config: The recipe, with a task.
        corpus: The packed frames, each of which is shown.

    Raises:
        ConfigError: The task cannot be learned, or the recipe or the corpus does not fit it.
        LabelError: Labels are missing or malformed.
    """
    assert config.task
    clips = open_task(
        config.task,
        config.labels,
        config.clips,
        corpus,
        num_frames=config.objective.encoder.num_frames,
    )
    splits = {name: clips.split(name) for name in ("train", "val", "test")}
    for name in ("train", "test"):
        if not splits[name].videos:
            raise ConfigError(
                f"{config.task}: expected videos with labels in the {name} split, got none"
            )
    val = splits["val"] if splits["val"].videos else None
    return LearnedTask(clips.config, splits["train"], val, splits["test"])


def with_task(config: TrainConfig, task: LearnedTask) -> TrainConfig:
    """The recipe as its task would have it: classes drawn alike where they are balanced, and numbers standardised.

    Args:
        config: The recipe.
        task: Its task.
    """
    order = task.train.training_order(config.data.order)
    config = replace(config, data=replace(config.data, order=order))

    objective = config.objective
    if not isinstance(objective, SupervisedConfig) or objective.kind != "number":
        return config

    numbers = np.concatenate([task.train.rows(video).true.truth for video in task.train.videos])
    mean = float(numbers.mean()) if objective.mean is None else objective.mean
    std = max(_MIN_STD, float(numbers.std())) if objective.std is None else objective.std
    return replace(config, objective=replace(objective, mean=mean, std=std))
