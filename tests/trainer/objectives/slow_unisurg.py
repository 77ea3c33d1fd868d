"""UniSurg's terms, slow: loops over its equations in float64, for clips of 4 x 4 tubes of 8 x 8 pixels, 48 wide."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD, ClipBatch
from surgstream.trainer.objectives.config import UniSurgConfig


def patch(clip: np.ndarray, t: int, row: int, column: int) -> np.ndarray:
    """The pixels of one patch, in [0, 1]."""
    return clip[:, t, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]


def slow_norm(values: Any, config: UniSurgConfig) -> Any:
    """|.| of some numbers."""
    return sum(abs(value) for value in values) / (1 if config.norm == "sum" else len(values))


def slow_motion(clip: np.ndarray, config: UniSurgConfig) -> np.ndarray:
    """g_i of every tube of one clip (C, T, H, W)."""

    def difference(there: tuple[int, int, int], here: tuple[int, int, int]) -> Any:
        return slow_norm((patch(clip, *there) - patch(clip, *here)).ravel().tolist(), config)

    scores = []
    for row in range(4):
        for column in range(4):
            in_time = [difference((t + 1, row, column), (t, row, column)) for t in range(3)]
            neighbours = [
                difference((t, row, column), (t, other_row, other_column))
                for t in range(4)
                for other_row, other_column in (
                    (row - 1, column),
                    (row + 1, column),
                    (row, column - 1),
                    (row, column + 1),
                )
                if 0 <= other_row < 4 and 0 <= other_column < 4
            ]
            scores.append(sum(in_time) / len(in_time) + sum(neighbours) / len(neighbours))
    return np.array(scores)


def slow_weights(scores: np.ndarray, config: UniSurgConfig) -> dict[int, float]:
    """w of those of a clip's masked tubes that have one, by their number."""
    if config.standardise_motion:
        mean = sum(scores) / len(scores)
        scores = (scores - mean) / (math.sqrt(sum((scores - mean) ** 2) / (len(scores) - 1)) + 1e-6)
    top = sorted(range(len(scores)), key=lambda i: -scores[i])[: config.top_k]
    powers = {i: math.exp(config.gamma * (scores[i] - max(scores))) for i in top}
    return {i: power / sum(powers.values()) for i, power in powers.items()}


def slow_affinities(vectors: Any, config: UniSurgConfig) -> Any:
    """a_ij of a clip's tubes, or tokens."""
    rows = []
    for i, one in enumerate(vectors):
        cosines = [
            one @ other / (one.norm() * other.norm()) / config.temperature for other in vectors
        ]
        powers = [
            0.0 * cosine if config.exclude_self and i == j else cosine.exp()
            for j, cosine in enumerate(cosines)
        ]
        rows.append([power / sum(powers) for power in powers])
    return rows


def slow_terms(objective: Any, batch: ClipBatch, targets: Tensor, predicted: Tensor) -> Any:
    """L_motion, L_st and L_var of a micro-batch in float64, clip by clip, tube by tube, token by token."""
    config, ((_, masked),) = objective.config, objective.draw(batch)
    motions, divergences, measured = [], [], []
    mean, std = (np.array(values).reshape(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    for clip, tokens, z, true in zip(
        batch.clips.double().numpy(), masked.tolist(), predicted, targets.double(), strict=True
    ):
        tubes = sorted({token % 16 for token in tokens})
        weights = slow_weights(slow_motion(clip * std + mean, config)[tubes], config)
        errors, pooled, true_pooled = [], [], []
        for number, tube in enumerate(tubes):
            own = [i for i, token in enumerate(tokens) if token % 16 == tube]
            error = sum(slow_norm(z[i] - true[tokens[i]], config) for i in own) / len(own)
            if config.scope == "masked" or number in weights:
                errors.append((1 + weights.get(number, 0.0)) * error)
            pooled.append(sum(z[i] for i in own) / len(own))
            true_pooled.append(sum(true[tokens[i]] for i in own) / len(own))
        if config.affinities == "tokens":
            pooled, true_pooled = list(z), [true[token] for token in tokens]
        motions.append(sum(errors) / (1 if config.reduction == "sum" else len(errors)))
        for row, true_row in zip(
            *(slow_affinities(vectors, config) for vectors in (pooled, true_pooled)), strict=True
        ):
            divergences.append(
                sum(b * (b / a).log() for a, b in zip(row, true_row, strict=True) if b > 0.0)
            )
        for vector in z:
            deviation = (((vector - vector.sum() / 48) ** 2).sum() / 48 + 1e-5).sqrt()
            measured.append(
                (vector - vector.sum() / 48) / deviation if config.normalise_variance else vector
            )
    columns = zip(*measured, strict=True)
    floors = [
        max(config.least_std - torch.stack(column).std(), torch.tensor(0.0)) for column in columns
    ]
    return tuple(sum(values) / len(values) for values in (motions, divergences, floors))
