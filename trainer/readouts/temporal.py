"""Training of a temporal network on the features of whole videos."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.shards.keyed_random import Purpose, choice, hash64, uniform
from surgstream.trainer.models.temporal import TemporalNetwork
from surgstream.trainer.readouts.config import TemporalConfig

Kind = Literal["class", "multilabel"]

_SMOOTHING_CAP = 16.0
"""Where squared differences of log-probabilities are cut off: tau^2 of MS-TCN, with tau 4."""

_HALF_WORD = 2**16


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """A video to train on.

    Attributes:
        features: (T, D) float32.
        truth: (T,) int64 numbers of classes, or (T, C) float32 of several a row.
    """

    features: Tensor
    truth: Tensor


def build(
    config: TemporalConfig, num_features: int, num_classes: int, kind: Kind, key: int
) -> TemporalNetwork:
    """Make a network with initial weights.

    They are uniform, between plus and minus 1 over the root of a map's inputs, as those of torch are, and a function of
    the key.
    """
    network = TemporalNetwork(
        num_features,
        num_classes,
        stages=config.stages,
        layers=config.layers,
        width=config.width,
        causal=config.causal,
        kind=kind,
    )
    bound = 1.0
    for number, parameter in enumerate(network.parameters()):
        # A convolution's weight comes before its bias, which has the same bound.
        if parameter.dim() == 3:
            bound = 1 / math.sqrt(parameter[0].numel())
        drawn = uniform(hash64(key, Purpose.HEAD_INIT, number), parameter.numel())
        values = torch.from_numpy((2 * drawn - 1) * bound)
        parameter.data = values.to(parameter.dtype).view(parameter.shape)
    return network


def class_weights(truths: Sequence[Tensor], num_classes: int) -> Tensor:
    """The median frequency of classes over that of each, as rows of all videos have them: (C,); 1 of those in none."""
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for truth in truths:
        if truth.dim() == 1:
            counts += torch.bincount(truth, minlength=num_classes)
        else:
            counts += truth.double().sum(0)

    is_there = counts > 0
    weights = torch.ones(num_classes, dtype=torch.float64)
    weights[is_there] = counts[is_there].quantile(0.5) / counts[is_there]
    return weights.float()


def loss_of(logits: Tensor, truth: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The mean over stages of the loss of each.

    It is cross-entropy, the mean over rows weighted by their classes; or, of several classes a row, binary
    cross-entropy, the mean over classes so weighted, and over rows. Both are of logits: the code of TeCNO takes the
    softmax of a softmax. MS-TCN adds, times `smoothing`, the mean of (log p_t - log p_(t-1))^2, at most 16, through
    which p_(t-1) gets no gradient.

    Args:
        logits: (S, T, C).
        truth: (T,) int64, or (T, C) float32.
        weights: (C,).
        smoothing: See above.
    """
    is_class = truth.dim() == 1
    losses = []
    for scores in logits:
        if is_class:
            loss = F.cross_entropy(scores, truth, weight=weights)
        else:
            loss = F.binary_cross_entropy_with_logits(
                scores, truth, weight=weights / weights.mean()
            )

        if smoothing and len(scores) > 1:
            logs = F.log_softmax(scores, 1) if is_class else F.logsigmoid(scores)
            squares = (logs[1:] - logs[:-1].detach()).square()
            loss = loss + smoothing * squares.clamp(max=_SMOOTHING_CAP).mean()
        losses.append(loss)
    return torch.stack(losses).mean()


def keep_masks(config: TemporalConfig, num_rows: int, key: int, step: int) -> Tensor | None:
    """The factors of dropout at a step, see `TemporalNetwork.forward`: a function of the key and the step.

    The rate is rounded to a 65,536th, since a hash decides four numbers.
    """
    if not config.dropout:
        return None
    shape = (config.stages, config.layers, config.width, num_rows)
    count = math.prod(shape)
    words = hash64(key, Purpose.DROPOUT, step, np.arange(-(-count // 4)))
    drawn = words.astype("<u8").view("<u2")[:count].reshape(shape)
    kept = torch.from_numpy(drawn >= round(config.dropout * _HALF_WORD))
    return kept.float() / (1 - config.dropout)


def train(
    network: TemporalNetwork,
    videos: Sequence[LabelledVideo],
    config: TemporalConfig,
    *,
    lr: float,
    key: int,
    beat: Callable[[], None] = lambda: None,
) -> bool:
    """Train a network with Adam, a video a step.

    Args:
        network: The network, with initial weights, on its device.
        videos: On the same device.
        config: Epochs, dropout, losses and decay.
        lr: The learning rate.
        key: Decides the order of the videos and what is dropped.
        beat: Called after every step.

    Returns:
        Whether all losses were finite; training ends with the first that is not.
    """
    num_classes = network.num_classes
    device = videos[0].features.device
    weights = torch.ones(num_classes)
    if config.class_weights:
        weights = class_weights([video.truth.cpu() for video in videos], num_classes)
    weights = weights.to(device)

    optimizer = torch.optim.Adam(network.parameters(), lr, weight_decay=config.weight_decay)
    network.train()
    step = 0
    for epoch in range(config.epochs):
        order = choice(hash64(key, Purpose.TEMPORAL, epoch), len(videos))
        for number in order.tolist():
            video = videos[number]
            keep = keep_masks(config, len(video.features), key, step)
            logits = network(video.features, None if keep is None else keep.to(device))
            loss = loss_of(logits, video.truth, weights, config.smoothing_loss)
            if not torch.isfinite(loss):
                return False

            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
            beat()
    return all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())


@torch.no_grad()
def predict(network: TemporalNetwork, features: Tensor) -> Tensor:
    """The probabilities (T, C) of a video's rows, by the last stage."""
    network.eval()
    return network.probabilities(network(features)[-1])
