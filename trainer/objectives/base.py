"""The interface between an objective and the engine.

A new one is a class with `networks`, `draw`, `losses` and `pictures`, and `features` where a network makes the targets.
It sets the attributes of `Objective` that have no value there; all else follows.
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Transformer
from surgstream.trainer.models.initial import initialise
from surgstream.trainer.models.vit import Encoder, num_parameters

_MOST_GRAPHS = 32
"""The most graphs of one function; past it torch would run it as it is, and tell nobody."""

_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")


class ObjectiveOutput(NamedTuple):
    """The result of one micro-batch.

    Attributes:
        loss: Scalar to minimise, a mean over the clips.
        metrics: Detached scalars under names such as `loss/reconstruction`.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class Pass(NamedTuple):
    """One pass of a clip through a network that keeps activations for a backward pass.

    Attributes:
        transformer: The network's numbers.
        num_tokens: Tokens of a clip that pass through its blocks.
    """

    transformer: Transformer
    num_tokens: int


class NetworkUse(NamedTuple):
    """A network of an objective, and what training on one clip takes of it.

    Attributes:
        network: The network.
        flops: Floating point operations, those of the backward pass included where there is one.
        passes: Those that keep activations; none where the network only provides targets, frozen or averaged.
    """

    network: nn.Module
    flops: int
    passes: tuple[Pass, ...] = ()


class Objective(nn.Module, ABC):
    """Something to learn, with the networks that learn it as submodules.

    Attributes:
        encoder: The network that is pretrained.
        num_tokens: Tokens of a clip, N.
        num_visible: Tokens of a clip that the encoder sees, for each mask; about, where that is drawn.
        num_masked: Tokens of a clip that are predicted, likewise; a mask may leave some that are neither.
        against_collapse: Advice for features that become one vector, in the recipe's own keys.
        masks_change_size: Whether micro-batches differ in their number of visible tokens.
        leaves_out: Beginnings of names of an encoder's weights that the objective has no place for.
    """

    against_collapse: ClassVar[str] = "Lower optim.base_lr, or lengthen optim.warmup_epochs"
    masks_change_size: bool = False
    leaves_out: ClassVar[tuple[str, ...]] = ()

    encoder: Encoder
    num_tokens: int
    num_visible: int
    num_masked: int

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []
        self._is_compiled = False
        self._compiled_features: Callable[..., Any] | None = None
        self._compiled_losses: Callable[..., ObjectiveOutput] | None = None

    def attach_frozen(self, name: str, network: nn.Module) -> None:
        """Keep a frozen or averaged network as an attribute, but outside the registered submodules.

        So it is neither optimised nor part of the state, but moves with `.to()`.
        """
        object.__setattr__(self, name, network.requires_grad_(False).eval())
        self._frozen.append(network)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # `.to()`, `.cuda()` and their like all pass here
        for network in self._frozen:
            network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @abstractmethod
    def networks(self) -> dict[str, NetworkUse]:
        """The networks by name, those that are trained first."""

    def features(self, clips: Tensor) -> Any:
        """The targets that a frozen or averaged network makes of clips (B, C, T, H, W); None by default."""
        return None

    @abstractmethod
    def draw(self, batch: ClipBatch) -> Any:
        """Draw a micro-batch's masks and whatever else is random: a function of the seed and of each clip's g."""

    @abstractmethod
    def losses(self, clips: Tensor, targets: Any, draws: Any) -> ObjectiveOutput:
        """Compute the loss of one micro-batch from tensors alone, so that it compiles into one graph.

        Args:
            clips: (B, C, T, H, W), normalised as those of a `ClipBatch`.
            targets: The result of `features` for them.
            draws: The result of `draw` for them.

        Returns:
            The loss and its parts. Both are means over clips of a value that depends on the clip alone, so they do not
            depend on how clips are dealt to ranks and micro-batches; or, where an objective says so, a function of the
            micro-batch, which depends on its size but not on the number of ranks.
        """

    @torch.no_grad()
    def targets(self, batch: ClipBatch) -> Any:
        """Compute the targets of `forward`, before the engine's own forward pass."""
        features = self._compiled_features or self.features
        return features(batch.clips)

    def forward(self, batch: ClipBatch, targets: Any = None) -> ObjectiveOutput:
        """Compute the loss of one micro-batch of B clips, with what `targets` returned for it; see `losses`."""
        losses = self._compiled_losses or self.losses
        return losses(batch.clips, targets, self.draw(batch))

    def compile_parts(self, **options: Any) -> None:
        """Compile what batches pass through, by `torch.compile(**options)`; names in the state stay.

        It is a graph for the targets, if a network makes them, and one for the losses.
        """
        self._is_compiled = True
        if type(self).features is not Objective.features:
            self._compiled_features = torch.compile(self.features, **options)
        # Videos, images and both at a time are graphs of their own, and so is one clip alone
        torch._dynamo.config.recompile_limit = max(
            _MOST_GRAPHS, torch._dynamo.config.recompile_limit
        )
        # None lets torch find out by compiling again, once a size changes.
        dynamic = True if self.masks_change_size else None
        self._compiled_losses = torch.compile(self.losses, dynamic=dynamic, **options)

    def compile_blocks(self, **options: Any) -> None:
        """Compile each transformer block by itself instead, by `torch.compile(**options)`.

        Blocks of one width that see as many tokens share a graph, so it takes as long as a few blocks do. What lies
        between blocks runs as it is.
        """
        self._is_compiled = True
        for network in (self, *self._frozen):
            for name, stack in network.named_modules():
                # Ours and timm's are both called so
                if name.endswith("blocks"):
                    for block in stack.children():
                        block.compile(dynamic=self.masks_change_size, **options)

    def uncompiled(self) -> AbstractContextManager[None]:
        """Have what is compiled run as it is: batches of other sizes, such as a last one, would be compiled anew."""
        # The compiler, which takes seconds to import, is left alone where it is not needed
        return torch.compiler.set_stance("force_eager") if self._is_compiled else nullcontext()

    def init_weights(self, generator: torch.Generator) -> None:
        """Give the networks their initial weights, with the generator as the only source of randomness."""
        initialise(self, generator)

    def after_optimizer_step(self) -> None:
        """Follow an update of the weights, as an averaged target network must; by default nothing does."""

    def averages(self) -> Mapping[str, Tensor]:
        """The moving averages of some parameters, by their names; they are saved together with them."""
        return {}

    def reset_average(self) -> None:
        """Let the averages begin where their parameters are."""

    def depth_of(self, name: str) -> int:
        """How deep a parameter lies, for layer decay: the embedding 0, block i of the encoder i + 1, the rest deepest.

        Args:
            name: The name of a parameter.
        """
        if name.startswith("encoder.embedding."):
            return 0
        in_block = _BLOCK.match(name)
        return int(in_block[1]) + 1 if in_block else self.encoder.shape.depth + 1

    @torch.no_grad()
    def embed_tokens(self, clips: Tensor) -> Tensor:
        """Embed clips for a downstream task: the encoder's tokens.

        Args:
            clips: (B, C, T, H, W).

        Returns:
            (B, N, D).
        """
        tokens: Tensor = self.encoder(clips)
        return tokens

    def embed(self, clips: Tensor) -> Tensor:
        """The mean of these tokens: (B, D) float32."""
        return self.embed_tokens(clips).float().mean(1)

    @torch.no_grad()
    def collapse_features(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Features whose collapse is monitored, as named sets of vectors (num, D): here, the encoder's tokens."""
        tokens: Tensor = self.encoder(batch.clips)
        return {"features": tokens.float().flatten(0, 1)}

    def worst_case(self, batch: ClipBatch) -> ClipBatch:
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

    def passes(self) -> list[Pass]:
        """The passes that keep activations for a backward pass, over all networks."""
        return [*itertools.chain.from_iterable(use.passes for use in self.networks().values())]

    def flops(self) -> dict[str, int]:
        """Floating point operations of training on one clip, by network; their sum is the whole."""
        return {name: use.flops for name, use in self.networks().items()}

    def num_parameters(self) -> dict[str, int]:
        """Parameters by network, fixed positions counted; `total` and `trainable` are of what is trained alone."""
        counts = {name: num_parameters(use.network) for name, use in self.networks().items()}
        total = sum(counts.values()) - self.num_frozen()
        trainable = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return counts | {"total": total, "trainable": trainable}

    def num_frozen(self) -> int:
        """Parameters of networks that only provide targets, frozen or averaged."""
        frozen = [use.network for use in self.networks().values() if not use.passes]
        return sum(map(num_parameters, frozen))

    def frozen_bytes(self) -> int:
        """Bytes of the parameters of these networks."""
        parameters = itertools.chain.from_iterable(network.parameters() for network in self._frozen)
        return sum(parameter.nbytes for parameter in parameters)
