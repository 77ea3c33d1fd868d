"""Models on the videos that they were not trained on, beside all videos."""

import dataclasses
from collections.abc import Collection, Sequence

from surgstream.trainer.evaluation.comparing import compare_models
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.report.numbers import counted
from surgstream.trainer.evaluation.report.result import Compared, Row
from surgstream.trainer.evaluation.scorer import Model, Scorer
from surgstream.trainer.evaluation.tasks.config import TaskConfig

NONE_LEFT = "it was trained on all of these videos: none are left to score it on"


def clean_part(model: Model, contaminated: Collection[str]) -> Model | None:
    """A model on the videos that are not contaminated, under a name that says how many; None where none is left."""
    seeds = tuple(
        [video for video in videos if video.video not in contaminated] for videos in model.seeds
    )
    count = len(seeds[0])
    if not count:
        return None
    name = f"{model.name}, clean {counted(count, 'video')}"
    return dataclasses.replace(model, name=name, seeds=seeds, told=(), leaks=None)


def remainder_of(model: Model, task: TaskConfig, space: LabelSpace) -> Row | None:
    """The row of a model on the videos that it was not trained on; None where it was trained on none of all, or all.

    Args:
        model: The model, on all videos.
        task: The task.
        space: What labels there are.
    """
    if model.leaks is None or not model.leaks.videos:
        return None
    clean = clean_part(model, model.leaks.videos)
    if clean is None:
        return None
    return Scorer(task, space, clean.seeds[0]).row(clean, kind="remainder")


def compare_on_clean(
    models: Sequence[Model], task: TaskConfig, space: LabelSpace
) -> list[Compared]:
    """Compare models with the first one on the videos that none was trained on; nothing where these are all, or none.

    Args:
        models: The models, on all videos.
        task: The task.
        space: What labels there are.
    """
    contaminated = {video for model in models if model.leaks for video in model.leaks.videos}
    if not contaminated:
        return []

    parts = [clean_part(model, contaminated) for model in models]
    clean = [part for part in parts if part]
    if not clean:
        return []
    return compare_models(Scorer(task, space, clean[0].seeds[0]), clean)
