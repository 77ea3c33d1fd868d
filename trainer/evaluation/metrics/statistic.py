"""A metric over videos as a function of how often each of them counts, so that a bootstrap draw is a sum."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Weights = npt.NDArray[np.float64]
"""(D, V): how often each of V videos counts in each of D draws: whole numbers from 0."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Statistic:
    """A metric over V videos.

    Attributes:
        at: From weights (D, V) to values (D,); NaN where the metric is undefined.
        per_video: (V,), the metric of each video by itself, NaN where it is undefined; None where it has no meaning.
        per_class: The metric of each class over all videos, by name, NaN where undefined; empty where it has none.
        averaged: What the value is the mean of, in words, such as `7 phases over 40 videos`.
        undefined: What had to be left out of the mean, in words, such as `phase clipping: in no video`.
        num_draws_at_most: Bound of the bootstrap's draws, for metrics that are costly at each draw.
    """

    at: Callable[[Weights], Floats]
    per_video: Floats | None
    per_class: dict[str, float] = field(default_factory=dict)
    averaged: str
    undefined: tuple[str, ...] = ()
    num_draws_at_most: int = 10_000


def value_of(statistic: Statistic, num_videos: int) -> float:
    """The metric with every video once; NaN where it is undefined."""
    (value,) = statistic.at(np.ones((1, num_videos)))
    return float(value)


def pooled(counts: npt.NDArray[Any], formula: Callable[[Floats], Floats], **rest: Any) -> Statistic:
    """A metric of counts that are added up over videos, such as confusion matrices.

    Args:
        counts: (V, ...), those of each video.
        formula: From counts (D, ...) to values (D,).
        rest: The other attributes of the statistic but `per_video`, which is that of each video's own counts.
    """
    flat = counts.reshape(len(counts), -1).astype(np.float64)

    def at(weights: Weights) -> Floats:
        return formula((weights @ flat).reshape(-1, *counts.shape[1:]))

    return Statistic(at=at, per_video=formula(counts.astype(np.float64)), **rest)


def mean_of_means(table: Floats, **rest: Any) -> Statistic:
    """The mean over classes of the means over videos; NaN entries are left out of both.

    Args:
        table: (V, C), the value of each video and class, NaN where it is undefined.
        rest: The other attributes of the statistic but `per_video`, which is the mean over each video's classes.
    """
    defined = np.isfinite(table).astype(np.float64)
    values = np.nan_to_num(table)

    def at(weights: Weights) -> Floats:
        return nan_mean((weights @ values) / zero_to_nan(weights @ defined))

    return Statistic(at=at, per_video=nan_mean(table), **rest)


def mean_over_videos(values: Floats, **rest: Any) -> Statistic:
    """The mean over videos of a value of each; NaN is left out.

    Args:
        values: (V,).
        rest: The other attributes of the statistic but `per_video`, which is `values`.
    """
    return mean_of_means(values[:, None], **rest)


def zero_to_nan(values: Floats) -> Floats:
    """The values, with NaN instead of 0, for a denominator."""
    return np.where(values == 0, np.nan, values)


def nan_mean(values: Floats) -> Floats:
    """The mean over the last axis without NaN; NaN, and no warning, where all of it is."""
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum(-1)
    mean: Floats = total / zero_to_nan(defined.sum(-1).astype(np.float64))
    return mean
