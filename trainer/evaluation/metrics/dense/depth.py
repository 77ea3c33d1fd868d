"""Errors of predicted depth, frame by frame, where the true depth is known; means over frames are the caller's."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.trainer.errors import MetricError

Floats = npt.NDArray[np.float64]

Scaling = Literal["metric", "median"]
"""Depth as predicted, in the unit of the truth; or times the number that makes the medians of each frame equal."""


def scaled(predicted: Floats, truth: Floats, scaling: Scaling) -> Floats:
    """Predicted depth as it is compared, (H, W).

    Args:
        predicted: (H, W).
        truth: (H, W), 0 where the depth is unknown.
        scaling: Its kind, which belongs into the name of every number made with it.
    """
    d, g = _known(predicted, truth)
    if scaling == "metric" or not g.size:
        return predicted

    median = np.median(d)
    if not median > 0:
        raise MetricError(
            f"predicted depth: expected a median above 0 to scale by, got {median}; "
            "compare it without scaling, or look at what was predicted"
        )
    by_median: Floats = predicted * (np.median(g) / median)
    return by_median


def rmse(predicted: Floats, truth: Floats) -> float:
    """The root of the mean of (d - g)^2, in the unit of depth; NaN where no depth is known.

    Args:
        predicted: d, (H, W).
        truth: g, (H, W), 0 where the depth is unknown.
    """
    d, g = _known(predicted, truth)
    return float(np.sqrt(_mean((d - g) ** 2)))


def abs_rel(predicted: Floats, truth: Floats) -> float:
    """The mean of |d - g| / g; NaN where no depth is known.

    Args:
        predicted: d, (H, W).
        truth: g, (H, W), 0 where the depth is unknown.
    """
    d, g = _known(predicted, truth)
    return _mean(np.abs(d - g) / g)


def sq_rel(predicted: Floats, truth: Floats) -> float:
    """The mean of (d - g)^2 / g, in the unit of depth; NaN where no depth is known.

    Args:
        predicted: d, (H, W).
        truth: g, (H, W), 0 where the depth is unknown.
    """
    d, g = _known(predicted, truth)
    return _mean((d - g) ** 2 / g)


def delta(predicted: Floats, truth: Floats, bound: float = 1.1) -> float:
    """The share of pixels where max(d / g, g / d) < bound, and d > 0; NaN where no depth is known.

    Args:
        predicted: d, (H, W).
        truth: g, (H, W), 0 where the depth is unknown.
        bound: Above 1.
    """
    d, g = _known(predicted, truth)
    is_near = (d < bound * g) & (g < bound * d)
    return _mean(is_near.astype(np.float64))


def _known(predicted: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Predicted and true depth of the pixels whose true depth is known, each (n,)."""
    if predicted.shape != truth.shape:
        raise MetricError(
            f"predicted depth: expected {truth.shape}, as the truth, got {predicted.shape}; resize it first"
        )
    known = truth > 0
    return predicted[known], truth[known]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")
