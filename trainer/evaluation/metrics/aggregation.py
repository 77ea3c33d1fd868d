"""Three ways from many videos and classes to one number, which differ by several points, and the spread around it.

Compare Funke et al., "Metrics Matter in Surgical Phase Recognition", arXiv 2305.13961.
"""

from collections.abc import Callable

import numpy as np

from surgstream.trainer.evaluation.metrics.confusion import Bools, Measure, confusions, outcomes
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    mean_of_means,
    mean_over_videos,
    nan_mean,
    pooled,
)


def videos_then_classes(table: Floats, space: LabelSpace) -> Statistic:
    """The mean over videos of each class, then over classes, of a table (V, C) with NaN where a value is undefined."""
    by_class = nan_mean(table.T)
    num_classes = np.isfinite(by_class).sum()

    return mean_of_means(
        table,
        per_class=named(by_class, space),
        averaged=f"{num_classes} classes over {len(table)} videos",
        undefined=left_out(table, space),
    )


def classes_then_videos(table: Floats, space: LabelSpace) -> Statistic:
    """The mean over classes of each video, then over videos, of a table (V, C) with NaN where a value is undefined."""
    return mean_over_videos(
        nan_mean(table),
        per_class=named(nan_mean(table.T), space),
        averaged=f"{len(table)} videos, each over its own classes",
        undefined=left_out(table, space),
    )


def pooled_then_classes(
    measure: Measure, among: Callable[[Floats], Bools], videos: Videos, space: LabelSpace
) -> Statistic:
    """The mean over classes of a measure of the rows of all videos together; 0/0 counts as 0.

    Args:
        measure: Of each class.
        among: Which classes are averaged: from outcomes (..., 3, C) to (..., C).
        videos: All of them.
        space: What classes there are.
    """

    def by_class(counts: Floats) -> Floats:
        return np.where(among(counts), np.nan_to_num(measure(counts)), np.nan)

    counts = outcomes(confusions(videos, space))
    values = named(by_class(counts.sum(0)), space)
    missing = [name for name, value in values.items() if np.isnan(value)]

    return pooled(
        counts,
        lambda drawn: nan_mean(by_class(drawn)),
        per_class=values,
        averaged=f"{len(values) - len(missing)} classes over all rows of {len(videos)} videos",
        undefined=tuple(f"{name}: undefined, as it has no rows" for name in missing),
    )


def named(values: Floats, space: LabelSpace) -> dict[str, float]:
    """The values (C,) by the names of their classes."""
    return dict(zip(space.classes, values.tolist(), strict=True))


def left_out(table: Floats, space: LabelSpace) -> tuple[str, ...]:
    """The classes that are undefined in some of the videos of a table (V, C), in words."""
    num_undefined = np.isnan(table).sum(0)
    return tuple(
        f"{name}: undefined in {number} of {len(table)} videos"
        for name, number in zip(space.classes, num_undefined, strict=True)
        if number
    )


def spread(statistic: Statistic) -> dict[str, float]:
    """What papers print after the plus-minus: standard deviations, with n - 1, over videos and over classes.

    Neither says how sure the mean is. In tables of phases the one of accuracies is over videos, that of all else over
    phases.

    Returns:
        `sd_over_videos` and `sd_over_classes`, where the metric has such values; NaN of fewer than two.
    """
    deviations = {}
    if statistic.per_video is not None:
        deviations["sd_over_videos"] = _deviation(statistic.per_video)
    if statistic.per_class:
        deviations["sd_over_classes"] = _deviation(np.array(list(statistic.per_class.values())))
    return deviations


def _deviation(values: Floats) -> float:
    defined = values[np.isfinite(values)]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else float("nan")
