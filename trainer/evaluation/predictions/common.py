"""The labelled rows that all models have predicted, so that they are compared on the same ones."""

import dataclasses
from collections.abc import Sequence
from functools import reduce

import numpy as np

from surgstream.trainer.evaluation.metrics.samples import Floats, ScoredVideo


def on_common_rows(models: Sequence[Sequence[ScoredVideo]]) -> list[list[ScoredVideo]]:
    """Leave out the rows of each video that some model lacks.

    Args:
        models: Of each model the same videos in the same order.

    Returns:
        The same, each video with the rows that all models have.
    """
    common = [
        reduce(np.intersect1d, (video.seconds for video in of_models))
        for of_models in zip(*models, strict=True)
    ]
    return [
        [_only(video, seconds) for video, seconds in zip(videos, common, strict=True)]
        for videos in models
    ]


def _only(video: ScoredVideo, seconds: Floats) -> ScoredVideo:
    if len(seconds) == video.num_rows:
        return video

    kept = np.isin(video.seconds, seconds)
    return dataclasses.replace(
        video,
        seconds=video.seconds[kept],
        truth=video.truth[kept],
        predicted=None if video.predicted is None else video.predicted[kept],
        scores=None if video.scores is None else video.scores[kept],
        images={name: values[kept] for name, values in video.images.items()},
    )
