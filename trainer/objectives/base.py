"""What the engine knows of an objective."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Transformer
from surgstream.trainer.models.vit import Encoder


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

    Attributes:
        encoder: What is pretrained.
        num_tokens: Tokens of a clip, N.
        num_visible: Tokens of a clip that the encoder sees, for each mask; about, where that is drawn.
        num_masked: Tokens of a clip that are predicted, likewise; a mask may leave some that are neither.
        against_collapse: What to do when features become one vector, in the recipe's own keys.
    """

    against_collapse: ClassVar[str] = "Lower optim.base_lr, or lengthen optim.warmup_epochs"

    encoder: Encoder
    num_tokens: int
    num_visible: int
    num_masked: int

    def __init__(self) -> None:
        super().__init__()
        self._held: list[nn.Module] = []

    def hold(self, name: str, network: nn.Module) -> None:
        """Keep a frozen or averaged network as an attribute, but outside the registered submodules.

        So it is neither optimised nor part of the state, but moves with `.to()`.
        """
        object.__setattr__(self, name, network.requires_grad_(False).eval())
        self._held.append(network)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # The one door of `.to()`, `.cuda()` and their like: let what is held through as well.
        for network in self._held:
            network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

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
            depend on how clips are dealt to ranks and micro-batches; or, where an objective says so, a function of the
            micro-batch, which depends on its size but not on the number of ranks.
        """

    @abstractmethod
    def after_optimizer_step(self) -> None:
        """Follow an update of the weights, as an averaged target network must."""

    def averages(self) -> Mapping[str, Tensor]:
        """The moving averages of some parameters, by their names; they are saved beside them."""
        return {}

    def average_anew(self) -> None:
        """Let the averages begin where their parameters are."""

    @torch.no_grad()
    def represent(self, clips: Tensor) -> Tensor:
        """What a downstream task would start from: the mean of the encoder's tokens.

        Args:
            clips: (B, C, T, H, W).

        Returns:
            (B, D) float32.
        """
        tokens: Tensor = self.encoder(clips)
        return tokens.float().mean(1)

    @torch.no_grad()
    def latents(self, batch: ClipBatch) -> dict[str, Tensor]:
        """What is to stay diverse while learning, as named sets of vectors (num, D): here, the encoder's tokens."""
        tokens: Tensor = self.encoder(batch.clips)
        return {"features": tokens.float().flatten(0, 1)}

    def hardest(self, batch: ClipBatch) -> ClipBatch:
        """The same clips under the draws that take most memory, where draws decide how many tokens are seen."""
        return batch

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
    def trained(self) -> list[tuple[Transformer, int]]:
        """The networks that keep activations for a backward pass, and how many tokens of a clip pass through each."""

    @abstractmethod
    def flops(self) -> dict[str, int]:
        """Floating point operations of training on one clip, by part; their sum is the whole."""

    @abstractmethod
    def parts(self) -> dict[str, int]:
        """Parameters by part, and `total` and `trainable` without what only provides targets."""
