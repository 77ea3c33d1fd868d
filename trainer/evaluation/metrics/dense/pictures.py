"""Metrics of each predicted picture: of a mask of one class, of one of several, or of depth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.dense import depth, masks

Floats = npt.NDArray[np.float64]

Picture = npt.NDArray[Any]
"""(H, W): of one class probabilities, or whether a pixel is of it; of several their numbers, from 1 on; of depth mm."""

OF_MASK = {
    "dice": masks.dice,
    "iou": masks.iou,
    "mask_mae": masks.mask_mae,
    "mean_dice": masks.mean_dice,
}
OF_DEPTH: dict[str, Callable[[Floats, Floats], float]] = {
    "depth_rmse": depth.rmse,
    "depth_abs_rel": depth.abs_rel,
    "depth_sq_rel": depth.sq_rel,
    "depth_delta_1.1": partial(depth.delta, bound=1.1),
}
MEDIAN_SCALED = "_median_scaled"
"""Behind the id of a metric of depth whose frames were scaled so that their medians are those of the truth."""


def of_mask(predicted: Floats, truth: masks.Mask) -> dict[str, Any]:
    """All metrics of a mask of one class, by their ids.

    Args:
        predicted: (H, W), probabilities.
        truth: (H, W), bool.
    """
    found: dict[str, Any] = {name: metric(predicted, truth) for name, metric in OF_MASK.items()}
    stretched = masks.stretched(predicted)
    return found | {"s_measure": masks.s_measure(stretched, truth)}


def of_classes(predicted: Picture, truth: Picture, num_classes: int) -> dict[str, Any]:
    """Dice and intersection over union of each class, (C,), NaN where neither has it; and the share of right pixels.

    Args:
        predicted: (H, W), numbers from 0, which is no class, to `num_classes`.
        truth: (H, W), the same.
        num_classes: C.
    """
    size = num_classes + 1
    pairs = truth.astype(np.int64) * size + predicted
    confusion = np.bincount(pairs.ravel(), minlength=size**2).reshape(size, size)

    common = np.diagonal(confusion)[1:].astype(np.float64)
    total = (confusion.sum(0) + confusion.sum(1))[1:].astype(np.float64)
    there = np.where(total > 0, total, np.nan)
    return {
        "class_dice": 2 * common / there,
        "class_iou": common / (there - common),
        "pixel_accuracy": float(np.trace(confusion) / confusion.sum()),
    }


def of_depth(predicted: Floats, truth: Floats) -> dict[str, Any]:
    """All metrics of a frame's depth, by their ids, as it was predicted and scaled by medians.

    Args:
        predicted: (H, W), in mm.
        truth: (H, W), in mm, 0 where it is unknown.
    """
    by_median = depth.scaled(predicted, truth, "median")
    found = {name: metric(predicted, truth) for name, metric in OF_DEPTH.items()}
    for name, metric in OF_DEPTH.items():
        found[f"{name}{MEDIAN_SCALED}"] = metric(by_median, truth)
    return found
