"""What dense heads are trained for: the losses of each head, and the pictures that are kept of what they predict."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.readouts.dense.heads import NUM_BINS
from surgstream.trainer.readouts.dense.losses import (
    cross_entropy,
    gradient_loss,
    scale_invariant_loss,
    structure_loss,
)

GRADIENT_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True)
class DenseTarget:
    """What is true of each pixel, as heads learn it.

    Attributes:
        space: What labels there are.
    """

    space: LabelSpace

    @property
    def num_outputs(self) -> int:
        """Numbers a place: one of one class, one each of several and of none, or bins of depth."""
        if self.space.kind == "depth":
            return NUM_BINS
        num_classes = len(self.space.classes)
        return 1 if num_classes == 1 else num_classes + 1

    def losses(self, maps: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over clips of each head.

        Of one class the structure loss, of several cross-entropy, of depth the scale-invariant loss and half of the
        gradient loss. Maps are brought to the size of the labels first.

        Args:
            maps: (K, B, C, h, w), of K heads: logits, or millimetres.
            labels: (B, H, W): whether a pixel is of the class; the number of its class; or millimetres.

        Returns:
            (K,).
        """
        size = (labels.shape[1], labels.shape[2])
        losses = [self._of_images(to_size(of_head, size), labels).mean() for of_head in maps]
        return torch.stack(losses)

    def losses_for(self, labels: Tensor, share: float) -> Callable[[Tensor], Tensor]:
        """From maps to losses for some labels, times the share that these clips have in a step."""
        return lambda maps: share * self.losses(maps, labels)

    def scores(self, maps: Tensor) -> Tensor:
        """From maps to what `picture` takes: the maps themselves, since they are small."""
        return maps

    def picture(self, scores: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """What is predicted for one frame.

        Args:
            scores: (C, h, w), of one head and clip.
            size: Height and width of the frame.

        Returns:
            (H, W): probabilities of one class, numbers of several, or millimetres.
        """
        whole = to_size(scores[None], size)[0]
        if self.space.kind == "depth":
            found = whole[0]
        elif len(self.space.classes) > 1:
            found = whole.argmax(0).float()
        else:
            found = whole[0].sigmoid()
        return found.cpu().numpy()

    def _of_images(self, maps: Tensor, labels: Tensor) -> Tensor:
        """The loss of each image, (B,), of one head."""
        if self.space.kind == "depth":
            predicted, true = maps[:, 0], labels.to(maps.dtype)
            steps = gradient_loss(predicted, true)
            return scale_invariant_loss(predicted, true) + GRADIENT_WEIGHT * steps
        if len(self.space.classes) > 1:
            return cross_entropy(maps, labels.long())
        return structure_loss(maps[:, 0], labels.to(maps.dtype))


def to_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) at another size, bilinearly."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
