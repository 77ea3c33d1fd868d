"""Made-up videos and metrics of them, always the same."""

import numpy as np

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.evaluation.metrics.statistic import Floats, Statistic, mean_over_videos
from surgstream.trainer.evaluation.statistics.tests import normal_quantile
from surgstream.trainer.evaluation.statistics.units import Units, units_of


def names(num_videos: int) -> list[str]:
    return [f"video{number:02}" for number in range(1, num_videos + 1)]


def units(num_videos: int, version: int = 1) -> Units:
    """Videos without anything above them."""
    return units_of({name: name for name in names(num_videos)}, "made_up", version)


def grouped(num_videos: int, size: int) -> Units:
    """Videos of which so many in a row are of one group."""
    groups = {name: f"group{i // size}" for i, name in enumerate(names(num_videos))}
    return units_of(groups, "made_up", 1)


def normals(count: int, seed: int) -> Floats:
    shares = uniform(hash64(Purpose.MADE_UP, seed), count)
    return np.array([normal_quantile(share) for share in shares])


def mean_of(values: Floats, num_draws: int = 10_000) -> Statistic:
    return mean_over_videos(values, averaged="videos", num_draws_at_most=num_draws)
