"""Losses of pictures, as the papers have them; of each image by itself, so that neither batches nor ranks decide."""

import torch
from torch import Tensor
from torch.nn import functional as F

BOUNDARY_PIXELS = 31
"""Side of the square around a pixel in which the structure loss looks for a boundary; of inputs of 352 pixels."""

BOUNDARY_WEIGHT = 5.0

MEAN_WEIGHT = 0.15
"""What of the squared mean error of logarithms counts in the scale-invariant loss."""

EPS_MM = 1e-3
SCALES = 4
"""Of the gradient loss: every pixel, every second one, every fourth, and every eighth."""


def structure_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy and intersection over union, both weighted by how near a boundary is (PraNet, F3Net).

    With p = sigmoid(logits), truth g and w = 1 + 5 |mean of g in a square around the pixel - g|:

        sum(w BCE(p, g)) / sum(w) + 1 - (1 + sum(w p g)) / (1 + sum(w (p + g - p g)))

    Beyond the edges g is 0. PraNet's code means its cross-entropy first, and so weighs nothing; this is the paper's.

    Args:
        logits: (B, H, W).
        truth: (B, H, W), 0 or 1.

    Returns:
        (B,).
    """
    weights = 1 + BOUNDARY_WEIGHT * (_around(truth) - truth).abs()

    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    of_pixels = (weights * entropy).sum((1, 2)) / weights.sum((1, 2))

    probabilities = logits.sigmoid()
    common = (weights * probabilities * truth).sum((1, 2))
    either = (weights * (probabilities + truth)).sum((1, 2)) - common
    of_mask: Tensor = 1 - (common + 1) / (either + 1)
    return of_pixels + of_mask


def _around(truth: Tensor) -> Tensor:
    """The mean of the square around each pixel, along columns and then along rows: 2 * 31 sums and not 31 * 31."""
    side, beyond = BOUNDARY_PIXELS, BOUNDARY_PIXELS // 2
    of_columns = F.avg_pool2d(truth[:, None], (side, 1), stride=1, padding=(beyond, 0))
    return F.avg_pool2d(of_columns, (1, side), stride=1, padding=(0, beyond))[:, 0]


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """The mean cross-entropy of pixels.

    Args:
        logits: (B, C + 1, H, W).
        truth: (B, H, W) int64, numbers of classes from 1 on, and 0 for none.

    Returns:
        (B,).
    """
    return F.cross_entropy(logits, truth, reduction="none").mean((1, 2))


def scale_invariant_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """The root of var(d) + 0.15 mean(d)^2, d = log predicted - log true, over the known pixels (SigLoss of DINOv2).

    Args:
        predicted: (B, H, W), in mm, at least 0.
        truth: (B, H, W), in mm, 0 where it is unknown.

    Returns:
        (B,), 0 of an image of which nothing is known.
    """
    known = (truth > 0).to(predicted.dtype)
    count = known.sum((1, 2)).clamp(min=1)
    errors = known * _log_error(predicted, truth)

    mean = errors.sum((1, 2)) / count
    deviations = known * (errors - mean[:, None, None])
    variance = deviations.square().sum((1, 2)) / (count - 1).clamp(min=1)
    # The root of 0 has no gradient
    inside = variance + MEAN_WEIGHT * mean.square()
    is_off = inside > 0
    root: Tensor = torch.where(is_off, inside, 1.0).sqrt()
    return torch.where(is_off, root, 0.0)


def gradient_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """How much steps of log predicted differ from those of log true, two pixels apart (MegaDepth, DINOv2).

    Of each of four scales, which take every pixel, every second one, and so on: the sum of |d(i) - d(i + 2)| along rows
    and columns, over pairs of known pixels, divided by the number of known pixels; the sum over scales.

    Args:
        predicted: (B, H, W), in mm, at least 0.
        truth: (B, H, W), in mm, 0 where it is unknown.

    Returns:
        (B,).
    """
    total = predicted.new_zeros(len(predicted))
    for scale in range(SCALES):
        step = 2**scale
        true = truth[:, ::step, ::step]
        known = true > 0
        errors = _log_error(predicted[:, ::step, ::step], true)

        down = (errors[:, 2:] - errors[:, :-2]).abs() * (known[:, 2:] & known[:, :-2])
        across = (errors[:, :, 2:] - errors[:, :, :-2]).abs() * (known[:, :, 2:] & known[:, :, :-2])
        count = known.sum((1, 2)).clamp(min=1)
        total = total + (down.sum((1, 2)) + across.sum((1, 2))) / count
    return total


def _log_error(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted + EPS_MM).log() - (truth + EPS_MM).log()
