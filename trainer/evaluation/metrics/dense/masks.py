"""How well maps of probabilities meet masks, image by image; means over videos and images are the caller's."""

import math

import numpy as np
import numpy.typing as npt

from surgstream.trainer.errors import MetricError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_NUM_THRESHOLDS = 256
"""0/255 to 255/255, the steps of an 8-bit picture."""


def dice(probabilities: Floats, truth: Mask) -> float:
    """Twice the common pixels over the sum of both masks', where the predicted mask is all above 0.5.

    Args:
        probabilities: (H, W), from 0 to 1.
        truth: (H, W).

    Returns:
        From 0 to 1; 1 where both masks are empty.
    """
    _check(probabilities, truth)
    predicted = probabilities > 0.5
    return _ratio(2 * (predicted & truth).sum(), predicted.sum() + truth.sum())


def iou(probabilities: Floats, truth: Mask) -> float:
    """The common pixels over those of either mask, where the predicted mask is all above 0.5.

    Args:
        probabilities: (H, W), from 0 to 1.
        truth: (H, W).

    Returns:
        From 0 to 1; 1 where both masks are empty.
    """
    _check(probabilities, truth)
    predicted = probabilities > 0.5
    return _ratio((predicted & truth).sum(), (predicted | truth).sum())


def mask_mae(probabilities: Floats, truth: Mask) -> float:
    """The mean over pixels of |probability - truth|, of probabilities as they are.

    Args:
        probabilities: (H, W), from 0 to 1.
        truth: (H, W).
    """
    _check(probabilities, truth)
    return float(np.abs(probabilities - truth).mean())


def mean_dice(probabilities: Floats, truth: Mask) -> float:
    """The mean of Dice over the thresholds 0/255 to 255/255 of the stretched map: the `meanDic` of papers on polyps.

    It is not Dice at 0.5: at threshold 0 the predicted mask is the whole image, so a perfect map stays below 1.

    Args:
        probabilities: (H, W), from 0 to 1.
        truth: (H, W).
    """
    _check(probabilities, truth)
    values = stretched(probabilities)
    thresholds = np.arange(_NUM_THRESHOLDS) / (_NUM_THRESHOLDS - 1)

    num_predicted = _num_from(values, thresholds)
    num_common = _num_from(values[truth], thresholds)
    total = num_predicted + truth.sum()
    scores = np.divide(2 * num_common, total, out=np.ones(len(total)), where=total > 0)
    return float(scores.mean())


def stretched(probabilities: Floats) -> Floats:
    """The map, (H, W), with its lowest value moved to 0 and its highest to 1; 0 everywhere if they are the same."""
    lowest = probabilities.min()
    extent = probabilities.max() - lowest
    stretched: Floats = (probabilities - lowest) / (extent or 1.0)
    return stretched


def s_measure(probabilities: Floats, truth: Mask, alpha: float = 0.5) -> float:
    """The structure measure: alpha S_object + (1 - alpha) S_region, at least 0.

    From Fan et al., "Structure-measure: A New Way to Evaluate Foreground Maps", ICCV 2017, with what its authors' code
    adds to the paper: deviations of N - 1, and a part of an image where map and truth are both constant counts 1.
    Papers on polyps stretch the map first.

    Args:
        probabilities: (H, W), from 0 to 1.
        truth: (H, W).
        alpha: The share of the object term.
    """
    _check(probabilities, truth)
    if not truth.any():
        return 1 - float(probabilities.mean())
    if truth.all():
        return float(probabilities.mean())

    of_object = _object_similarity(probabilities, truth)
    of_regions = _region_similarity(probabilities, truth)
    return max(0.0, alpha * of_object + (1 - alpha) * of_regions)


def _object_similarity(probabilities: Floats, truth: Mask) -> float:
    """S_object: how high and even the map is on the object, and how low and even beside it, by area."""
    share = truth.mean()
    foreground = _brightness(probabilities[truth])
    background = _brightness(1 - probabilities[~truth])
    return float(share * foreground + (1 - share) * background)


def _brightness(values: Floats) -> float:
    """2 m / (m^2 + 1 + s) of their mean m and deviation s."""
    mean = values.mean()
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + deviation))


def _region_similarity(probabilities: Floats, truth: Mask) -> float:
    """S_region: structural similarity of the four parts around the object's centre of mass, by area."""
    # The pixel of the centre belongs to the upper left part.
    rows, columns = (math.floor(places.mean() + 0.5) + 1 for places in np.nonzero(truth))

    total = 0.0
    for vertical in (slice(rows), slice(rows, None)):
        for horizontal in (slice(columns), slice(columns, None)):
            part = truth[vertical, horizontal]
            if part.size:
                similarity = _structural_similarity(probabilities[vertical, horizontal], part)
                total += part.size / truth.size * similarity
    return total


def _structural_similarity(x: Floats, truth: Mask) -> float:
    """The product of 2 m_x m_y / (m_x^2 + m_y^2) and 2 s_xy / (s_x^2 + s_y^2), of means m and (co)variances s."""
    if truth.all() == truth.any():
        return float(np.ptp(x) == 0)

    y = truth.astype(np.float64)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    means = x.mean() ** 2 + y.mean() ** 2
    return float(4 * x.mean() * y.mean() * covariance / (means * (x.var() + y.var())))


def _num_from(values: Floats, thresholds: Floats) -> npt.NDArray[np.int64]:
    """How many values reach each threshold."""
    return values.size - np.searchsorted(np.sort(values, axis=None), thresholds)


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 1.0


def _check(probabilities: Floats, truth: Mask) -> None:
    """Refuse 8-bit masks and maps of 0 to 255, whose errors would pass for numbers."""
    if truth.dtype != np.bool_ or probabilities.shape != truth.shape:
        raise MetricError(
            f"mask: expected bool {probabilities.shape}, as the probabilities, got {truth.dtype} {truth.shape}; "
            "compare 8-bit masks with 127 first"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise MetricError(
            f"probabilities: expected 0 to 1, got {probabilities.min()} to {probabilities.max()}; "
            "divide 8-bit maps by 255, apply a sigmoid to logits"
        )
