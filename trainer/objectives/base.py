"""What the engine knows of an objective."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn

from trainer.batch import ClipBatch


class ObjectiveOutput(NamedTuple):
    """The result of one micro-batch.

    Attributes:
        loss: Scalar to minimise, a mean over the clips.
        metrics: Detached scalars under names such as `loss/reconstruction`.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """Something to learn, with the networks that learn it as submodules.

    A frozen or averaged network that provides targets is held outside the registered submodules, so that it is
    neither optimised nor saved, but moves with `.to()`.

    Attributes:
        num_tokens: Tokens of a clip, N.
        num_visible: Tokens of a clip that the encoder sees.
    """

    num_tokens: int
    num_visible: int

    @abstractmethod
    def targets(self, batch: ClipBatch) -> Any:
        """Compute what `forward` is to predict, without gradient, before the engine's own forward pass."""

    @abstractmethod
    def forward(self, batch: ClipBatch, targets: Any) -> ObjectiveOutput:
        """Compute the loss of one micro-batch.

        Args:
            batch: B clips.
            targets: What `targets` returned for them.

        Returns:
            The loss and its parts. Both are means over clips of a value that depends on the clip alone, so they do not
            depend on how clips are dealt to ranks and micro-batches.
        """

    @abstractmethod
    def after_optimizer_step(self) -> None:
        """Follow an update of the weights, as an averaged target network must."""

    @abstractmethod
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw what the model sees and predicts.

        Args:
            batch: B clips.

        Returns:
            Named rows of (B, 3, T, H, W) with values in [0, 1].
        """

    @abstractmethod
    def compile_parts(self, **options: Any) -> None:
        """Compile what training batches pass through, by `torch.compile(**options)`; names in the state stay."""

    @abstractmethod
    def flops(self) -> dict[str, int]:
        """Floating point operations of training on one clip, by part; their sum is the whole."""

    @abstractmethod
    def parts(self) -> dict[str, int]:
        """Parameters by part, and `total` and `trainable` without what only provides targets."""
