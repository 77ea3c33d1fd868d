"""Temporal convolutions over the features of whole videos.

A multi-stage temporal convolutional network, MS-TCN (arXiv 1903.01945); where it is causal, that of TeCNO (arXiv
2003.10751). A stage narrows its input to `width` maps by a convolution of kernel 1, and adds to them, layer by layer,

    x <- x + dropout(W2 relu(W1 * x)),

where `*` is a convolution of kernel 3 with dilation 2^i in layer i, and W2 one of kernel 1. A last one gives scores.
Each stage but the first takes the probabilities of the one before, so it sees what was predicted and no features.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 3


class DilatedLayer(nn.Module):
    """A dilated residual layer.

    Args:
        width: Maps.
        dilation: Rows from one that a row sees to the next.
        causal: Whether a row sees itself and two earlier ones; else one earlier and one later.
    """

    def __init__(self, width: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        self.mixing = nn.Conv1d(width, width, 1)
        span = (KERNEL - 1) * dilation
        self._padding = (span, 0) if causal else (span // 2, span // 2)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Update the maps (1, width, T), of which `keep`, of the same shape, scales what is added."""
        added: Tensor = self.mixing(F.relu(self.dilated(F.pad(x, self._padding))))
        return x + (added if keep is None else added * keep)


class Stage(nn.Module):
    """One stage, from (1, C_in, T) to scores (1, C, T).

    Args:
        num_inputs: C_in.
        num_classes: C.
        layers: Dilated layers.
        width: Their maps.
        causal: See `DilatedLayer`.
    """

    def __init__(
        self, num_inputs: int, num_classes: int, *, layers: int, width: int, causal: bool
    ) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(num_inputs, width, 1)
        self.layers = nn.ModuleList(DilatedLayer(width, 2**i, causal) for i in range(layers))
        self.score = nn.Conv1d(width, num_classes, 1)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Score each row; `keep` is (layers, width, T)."""
        x = self.narrow(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, None if keep is None else keep[i][None])
        scores: Tensor = self.score(x)
        return scores


class TemporalNetwork(nn.Module):
    """Stages in a row, each of which refines the probabilities of the one before.

    Args:
        num_features: D.
        num_classes: C.
        stages: Stages, S.
        layers: Dilated layers of each.
        width: Maps of each.
        causal: Whether a row sees nothing of what comes after it.
        kind: Of `class` probabilities add up to 1; of `multilabel` each class has its own.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        stages: int,
        layers: int,
        width: int,
        causal: bool,
        kind: Literal["class", "multilabel"],
    ) -> None:
        super().__init__()
        inputs = [num_features] + [num_classes] * (stages - 1)
        self.stages = nn.ModuleList(
            Stage(num_inputs, num_classes, layers=layers, width=width, causal=causal)
            for num_inputs in inputs
        )
        self.num_classes = num_classes
        self.kind = kind

    def forward(self, features: Tensor, keep: Tensor | None = None) -> Tensor:
        """Score the rows of a video.

        Args:
            features: (T, D), in order of time.
            keep: (S, layers, width, T), the factor of what each layer adds: 0 drops it, 1/(1 - rate) keeps it; None
                drops nothing.

        Returns:
            (S, T, C), logits of every stage; the last one's are the network's.
        """
        x = features.T[None]
        found = []
        for i, stage in enumerate(self.stages):
            scores = stage(x, None if keep is None else keep[i])
            found.append(scores[0].T)
            x = self._probabilities(scores, dim=1)
        return torch.stack(found)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probabilities of classes, by logits (..., C)."""
        return self._probabilities(logits, dim=-1)

    def _probabilities(self, logits: Tensor, dim: int) -> Tensor:
        return logits.softmax(dim) if self.kind == "class" else logits.sigmoid()
