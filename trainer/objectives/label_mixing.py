"""Mixup and cutmix: the clips of a micro-batch mixed in pairs, and their labels with them.

"mixup: Beyond Empirical Risk Minimization" (arXiv 1710.09412) blends, "CutMix" (arXiv 1905.04899) pastes a window:

    x'_i = m x_i + (1 - m) x_j,    y'_i = lambda y_i + (1 - lambda) y_j,    lambda ~ Beta(alpha, alpha),

where m is lambda at every pixel; or 0 in a window and 1 around it, lambda then being the mean of m. As in timm's
`batch` mode all of a micro-batch has one lambda and one window, and the partner of clip i of B is clip B - 1 - i: all
are mixed but the one in the middle of an odd number. What is drawn is a function of the micro-batch's draw numbers,
which do not depend on how many ranks there are.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.objectives.config import MixConfig
from surgstream.trainer.objectives.masks.tube_draws import to_device

_CANDIDATES = 32
"""Numbers that a gamma variate is chosen from, of which each is taken with a probability above 0.95."""


class MixDraw(NamedTuple):
    """How a micro-batch is mixed.

    Attributes:
        own_pixels: (H, W) float32, each clip's share of its own pixels; the rest is its partner's.
        own_label: () float32, its share of its own label.
    """

    own_pixels: Tensor
    own_label: Tensor


def draw_mixing(
    config: MixConfig,
    seed: int,
    draws: npt.NDArray[np.int64],
    size: tuple[int, int],
    device: torch.device,
) -> MixDraw:
    """Draw how a micro-batch is mixed: once for all of its clips.

    Args:
        config: How often, and how much.
        seed: The run's seed.
        draws: (B,) the clips' draw numbers, of which the least stands for the micro-batch.
        size: Height and width of the clips in pixels.
        device: The clips' device.
    """
    own_pixels, own_label = mixing(config, seed, int(draws.min()), size)
    return MixDraw(to_device(own_pixels, device), to_device(own_label, device))


def mixing(
    config: MixConfig, seed: int, draw: int, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw the shares of a `MixDraw`.

    Args:
        config: How often, and how much.
        seed: The run's seed.
        draw: The draw number that stands for the micro-batch.
        size: Height and width of the clips in pixels.

    Returns:
        (H, W) and (), the shares of pixels and of the label; ones where nothing is mixed.
    """
    whether, which, *place = uniform(hash64(seed, Purpose.MIX, draw), 4)
    both = config.mixup > 0 and config.cutmix > 0
    cuts = which < config.switch if both else config.cutmix > 0
    alpha = config.cutmix if cuts else config.mixup

    own_pixels = np.ones(size, np.float32)
    if whether < config.probability and alpha > 0:
        own = beta(alpha, seed, draw)
        if cuts:
            top, left, bottom, right = window(own, place, size)
            own_pixels[top:bottom, left:right] = 0.0
        else:
            own_pixels[:] = own

    # In double precision: the mean of many ones would be less than 1
    own_label = np.array(own_pixels.mean(dtype=np.float64), np.float32)
    return own_pixels, own_label


def beta(alpha: float, seed: int, draw: int) -> float:
    """Draw from Beta(alpha, alpha): the share x / (x + y) of two gamma variates.

    A gamma variate of shape a >= 1 is (a - 1/3) v, where v = (1 + z / sqrt(9 a - 3))^3 and z is normal; one is taken
    with a probability of min(1, exp(z^2 / 2 + (a - 1/3)(1 - v + log v))) (Marsaglia and Tsang, 2000). One of shape a is
    u^(1 / a) times one of shape a + 1. Logarithms keep those of small shapes from being 0.

    Args:
        alpha: Above 0.
        seed: The run's seed.
        draw: The draw number that stands for the micro-batch.
    """
    # (2, candidates, 3), and one number more for each variate
    key = hash64(seed, Purpose.MIX, draw, np.arange(1, 3))
    numbers = uniform(key, 3 * _CANDIDATES + 1)
    first = numbers[:, -1]
    radius, angle, chance = np.moveaxis(numbers[:, :-1].reshape(2, _CANDIDATES, 3), 2, 0)
    normal = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)

    # Below this one of the two is all there is, and a quotient by it would be infinite
    alpha = max(alpha, 1e-9)
    # Of shape alpha + 1, but for the factor that both have
    d = alpha + 2.0 / 3.0
    v = np.maximum(1.0 + normal / np.sqrt(9.0 * d), 1e-300) ** 3
    log_v = np.log(np.maximum(v, 1e-300))
    taken = np.log1p(-chance) < normal**2 / 2 + d * (1.0 - v + log_v)
    log_gamma = log_v[np.arange(2), taken.argmax(axis=1)] + np.log1p(-first) / alpha

    # Beyond these, a share is 0 or 1 in double precision
    difference = np.clip(log_gamma[1] - log_gamma[0], -700.0, 700.0)
    return float(1.0 / (1.0 + np.exp(difference)))


def window(own: float, place: list[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Place the window of the other clip, of a share 1 - own of the picture before what lies outside is cut off.

    Args:
        own: Each clip's share of its own pixels.
        place: Two uniform numbers, of the window's centre.
        size: Height and width of the picture in pixels.

    Returns:
        Top, left, bottom and right.
    """
    starts = []
    ends = []
    for number, side in zip(place, size, strict=True):
        length = int(side * np.sqrt(1.0 - own))
        centre = int(number * side)
        starts.append(max(0, centre - length // 2))
        ends.append(min(side, centre + (length + 1) // 2))
    return starts[0], starts[1], ends[0], ends[1]


def mix(clips: Tensor, targets: Tensor, draw: MixDraw) -> tuple[Tensor, Tensor]:
    """Mix each clip, and its target, with its partner's.

    There is no branch in it: nothing mixed is a share of 1, which leaves all as it is.

    Args:
        clips: (B, C, T, H, W).
        targets: (B, C) or (B,) floats, such as `soft_targets`.
        draw: How they are mixed.

    Returns:
        Clips and targets of the same shapes.
    """
    own_pixels = draw.own_pixels.to(clips.dtype)
    own_label = draw.own_label.to(targets.dtype)
    mixed = clips * own_pixels + clips.flip(0) * (1.0 - own_pixels)
    return mixed, targets * own_label + targets.flip(0) * (1.0 - own_label)


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Spread a share of each label over all classes: (1 - s) + s / C for the label's own, s / C for others.

    Args:
        labels: (B,) int64 classes.
        num_classes: C.
        smoothing: s, the share that is spread.

    Returns:
        (B, C) float32; rows sum to 1.
    """
    hard = F.one_hot(labels, num_classes).float()
    return hard * (1.0 - smoothing) + smoothing / num_classes
