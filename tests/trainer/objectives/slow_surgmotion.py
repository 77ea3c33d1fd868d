"""SurgMotion's equations, slow: loops over pixels, tokens and features in float64."""

import itertools
import math
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.config import SurgMotionConfig


def slow_speed(clip: np.ndarray) -> np.ndarray:
    """[M1] of one clip (C, T, H, W)."""
    _, _, height, width = clip.shape
    speed = np.zeros(clip.shape)
    for c, t, y, x in np.ndindex(*clip.shape):
        later, below, right = max(t, 1), min(y, height - 2), min(x, width - 2)
        change = abs(clip[c, later, y, x] - clip[c, later - 1, y, x])
        dx = clip[c, t, y, right + 1] - clip[c, t, y, right]
        dy = clip[c, t, below + 1, x] - clip[c, t, below, x]
        steepness = math.sqrt(dx**2 + dy**2 + 1e-6)
        if steepness > 0.01:
            speed[c, t, y, x] = change / (steepness + 0.05)
    return speed


def slow_motion_map(clip: np.ndarray, grid: Grid) -> list[float]:
    """[M1] to [M4] of one clip (C, T, H, W): its tokens' motion."""
    colours, frames, height, width = clip.shape
    speed = slow_speed(clip)

    moving = np.zeros(clip.shape)
    for c, t in itertools.product(range(colours), range(frames)):
        camera = median(speed[c, t].ravel().tolist())
        for y, x in itertools.product(range(height), range(width)):
            of_objects = 0.7 * math.tanh(5 * max(0.0, speed[c, t, y, x] - 1.2 * camera))
            moving[c, t, y, x] = of_objects + min(0.3, math.tanh(5 * camera))

    t, p, q = frames // grid.slices, height // grid.rows, width // grid.columns
    tokens = {
        (s, i, j): fmean(
            moving[:, s * t : (s + 1) * t, i * p : (i + 1) * p, j * q : (j + 1) * q].ravel()
        )
        for s, i, j in np.ndindex(*grid)
    }
    return [min(1.0, smoothed(tokens, place)) for place in np.ndindex(*grid)]


def smoothed(tokens: dict[tuple[int, ...], float], place: tuple[int, ...]) -> float:
    """[M4]'s G at one token, with nothing beyond the edge."""
    total = weighed = 0.0
    for offset in itertools.product(range(-2, 3), repeat=3):
        weight = math.exp(-sum(o**2 for o in offset) / 2)
        there = tuple(a + o for a, o in zip(place, offset, strict=True))
        total += weight
        weighed += weight * tokens.get(there, 0.0)
    return weighed / total


def slow_terms(
    config: SurgMotionConfig, motion: Any, true: Tensor, masked: list[list[int]], z: Tensor
) -> dict[str, Any]:
    """[M6] to [M9] of one kind of mask.

    Args:
        config: Its switches.
        motion: Of each clip, its tokens' motion.
        true: h, (B, N, D).
        masked: Of each clip, the tokens that are predicted.
        z: Predictions of these, (B, M, D).
    """
    h = [[clip[token] for token in tokens] for clip, tokens in zip(true, masked, strict=True)]
    errors = [
        (1 + config.motion_weight * motion[b][token]) * mean(abs(z[b, i] - h[b][i]))
        for b, tokens in enumerate(masked)
        for i, token in enumerate(tokens)
    ]
    grams = [
        smooth_l1(cosine(z[b, i], z[b, j]) - cosine(h[b][i], h[b][j]))
        for b, tokens in enumerate(masked)
        for i, j in itertools.product(range(len(tokens)), repeat=2)
    ]
    return {
        "motion": mean(errors),
        "variance": mean(
            [
                max(config.least_std - (variance(values) + 1e-4) ** 0.5, torch.tensor(0.0))
                for values in groups(config, z)
            ]
        ),
        "gram": mean(grams),
        "covariance": slow_covariance(z),
    }


def groups(config: SurgMotionConfig, z: Tensor) -> list[list[Tensor]]:
    """The numbers whose variance [M7] takes: of a clip's tokens, or of all clips at one place."""
    num_clips, num_tokens, width = z.shape
    if config.variance_over == "clip":
        return [
            [z[b, i, d] for i in range(num_tokens)] for b in range(num_clips) for d in range(width)
        ]
    return [[z[b, i, d] for b in range(num_clips)] for i in range(num_tokens) for d in range(width)]


def slow_covariance(z: Tensor) -> Any:
    """[M9], feature by feature."""
    columns = [column - mean(column) for column in z.reshape(-1, z.shape[-1]).T]
    count = len(columns[0]) - 1
    pairs = [
        (sum(a * b) / count) ** 2
        for i, a in enumerate(columns)
        for j, b in enumerate(columns)
        if i != j
    ]
    return sum(pairs) / len(columns)


def mean(values: Any) -> Any:
    return sum(values) / len(values)


def variance(values: Any) -> Any:
    return sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    return sum(one * other) / (sum(one**2) * sum(other**2)) ** 0.5


def smooth_l1(difference: Tensor) -> Tensor:
    size = abs(difference)
    return size**2 / 2 if size < 1 else size - 0.5
