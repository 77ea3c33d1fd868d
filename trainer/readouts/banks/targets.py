"""What heads are trained for: losses of each head, and scores of what they predict."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.evaluation.metrics.samples import Kind
from surgstream.trainer.labelled.clips import SplitClips


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is true of a clip, as heads learn it.

    Attributes:
        kind: One class, several, or a number.
        num_outputs: Classes, C; 1 of numbers.
        smoothing: Share of a label that is spread over all classes, where a clip has one class.
        mean: Mean of the training labels, of numbers, which are standardised.
        std: Their deviation.
    """

    kind: Kind
    num_outputs: int
    smoothing: float = 0.0
    mean: float = 0.0
    std: float = 1.0

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over clips of each head.

        Of one class cross-entropy, of several binary cross-entropy, their mean over classes, and of numbers smooth L1
        of the standardised ones.

        Args:
            logits: (K, B, C), of K heads.
            labels: As `ClipBatch.labels`.

        Returns:
            (K,).
        """
        num_heads, num_clips, _ = logits.shape
        if self.kind == "class":
            repeated = labels.repeat(num_heads)
            losses = F.cross_entropy(
                logits.flatten(0, 1),
                repeated,
                label_smoothing=self.smoothing,
                reduction="none",
            )
            return losses.view(num_heads, num_clips).mean(1)

        if self.kind == "multilabel":
            truth = labels.to(logits.dtype).expand_as(logits)
            losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            return losses.mean((1, 2))

        standardised = (labels.to(logits.dtype) - self.mean) / self.std
        predicted = logits[..., 0]
        losses = F.smooth_l1_loss(predicted, standardised.expand_as(predicted), reduction="none")
        return losses.mean(1)

    def losses_for(self, labels: Tensor, share: float) -> Callable[[Tensor], Tensor]:
        """From logits to losses for some labels, times the share that these clips have in a step."""
        return lambda logits: share * self.losses(logits, labels)

    def scores(self, logits: Tensor) -> Tensor:
        """From logits (K, B, C) to what is stored: probabilities, or numbers in the task's own unit."""
        if self.kind == "class":
            return logits.softmax(-1)
        if self.kind == "multilabel":
            return logits.sigmoid()
        return logits * self.std + self.mean


def target_of(train: SplitClips, smoothing: float) -> Target:
    """The target of a task; of numbers, mean and deviation are those of all training labels."""
    space = train.space
    if space.kind != "number":
        return Target(kind=space.kind_of_rows, num_outputs=len(space.classes), smoothing=smoothing)

    truth = np.concatenate([train.rows(video).true.truth for video in train.videos])
    values = truth.astype(np.float64)
    std = float(values.std())
    return Target(kind="number", num_outputs=1, mean=float(values.mean()), std=std or 1.0)
