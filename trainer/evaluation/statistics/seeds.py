"""Several seeds of one model. They are no further patients: ten seeds on three videos are three videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import Purpose, hash64
from surgstream.trainer.evaluation.metrics.statistic import Floats, Statistic, Weights, value_of
from surgstream.trainer.evaluation.statistics.bootstrap import LEVEL, Interval, percentile_interval
from surgstream.trainer.evaluation.statistics.units import Units, blocks, times


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """A metric of a model that was trained several times.

    Attributes:
        mean: Over seeds, of the metric over all videos.
        sd: Over seeds, of the metric over all videos; NaN of one seed.
        num_seeds: How many.
        interval: Of the mean, over other seeds and other videos.
    """

    mean: float
    sd: float
    num_seeds: int
    interval: Interval


def over_seeds(seeds: Sequence[Statistic], units: Units, level: float = LEVEL) -> OverSeeds:
    """Sum up a metric over seeds.

    Args:
        seeds: The metric of each seed's model, over the same videos; at least one.
        units: The units of the videos.
        level: How often the interval should hold the true value.
    """
    values = np.array([value_of(seed, units.num_videos) for seed in seeds])
    return OverSeeds(
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(seeds) > 1 else math.nan,
        num_seeds=len(seeds),
        interval=percentile_interval(draw_seeds(seeds, units), units, level),
    )


def draw_seeds(seeds: Sequence[Statistic], units: Units) -> Floats:
    """The mean over seeds in all draws, each of S of the S seeds and then of videos, the same videos for each seed.

    Videos drawn for each seed by itself would count as S times as many: the interval would shrink by repeating a seed.

    Returns:
        (D,), NaN where a seed that is drawn is undefined.
    """
    num_draws = min(seed.num_draws_at_most for seed in seeds)
    found = []
    for block, weights in zip(blocks(num_draws), units.draws(num_draws), strict=True):
        key = hash64(Purpose.BOOTSTRAP_OF_SEEDS, units.key, block[:, None])
        drawn = hash64(key, np.arange(len(seeds))) % np.uint64(len(seeds))
        counts = times(drawn.astype(np.int64), len(seeds))

        values = _at(seeds, weights)
        found.append(np.where(counts > 0, counts * values, 0.0).sum(1) / len(seeds))
    return np.concatenate(found)


def mean_of_seeds(seeds: Sequence[Statistic]) -> Statistic:
    """The mean over seeds as a metric of its own, to compare models by; undefined where a seed is."""
    per_video = [seed.per_video for seed in seeds if seed.per_video is not None]
    return Statistic(
        at=lambda weights: _at(seeds, weights).mean(1),
        per_video=np.mean(per_video, axis=0) if len(per_video) == len(seeds) else None,
        per_class={
            name: float(np.mean([seed.per_class[name] for seed in seeds]))
            for name in seeds[0].per_class
        },
        averaged=f"{seeds[0].averaged}, {len(seeds)} seeds",
        num_draws_at_most=min(seed.num_draws_at_most for seed in seeds),
    )


def _at(seeds: Sequence[Statistic], weights: Weights) -> Floats:
    """The metric of each seed in each draw: (D, S)."""
    return np.stack([seed.at(weights) for seed in seeds], axis=1)
