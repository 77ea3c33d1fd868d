"""The networks of the heads of a bank, and what they are fed with."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from surgstream.shards.keyed_random import Purpose, hash64
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.errors import ModelError
from surgstream.trainer.readouts.bank_config import (
    AttentiveConfig,
    BankConfig,
    DenseDptConfig,
    DenseLinearConfig,
    LinearConfig,
)
from surgstream.trainer.readouts.banks.attentive import AttentivePooler, StackedLinear
from surgstream.trainer.readouts.dense.building import build_dense
from surgstream.trainer.readouts.dense.heads import CopiedNetwork
from surgstream.trainer.readouts.dense.inputs import LayerInputs, NormedInputs, four_layers

Example = tuple[Tensor, Tensor]
"""What some clips are encoded to, and what is true of them."""

_LINEAR_STD = 0.01
_NORM_EPS = 1e-6
_NORM_MOMENTUM = 0.1


class AttentiveHeads(nn.Module):
    """Copies of an attentive pooler and a linear layer."""

    def __init__(self, config: AttentiveConfig, embed_dim: int, num_outputs: int) -> None:
        super().__init__()
        self.pooler = AttentivePooler(
            embed_dim, config.num_heads, config.self_blocks, config.mlp_ratio
        )
        self.linear = StackedLinear(1, embed_dim, num_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (B, N, D) to logits (copies, B, C)."""
        logits: Tensor = self.linear(self.pooler(tokens))
        return logits

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise the pooler, and the linear layer uniformly up to 1 / sqrt(D), as V-JEPA 2's code does."""
        self.pooler.initialise(generator)
        bound = self.linear.weight.shape[-1] ** -0.5
        for parameter in self.linear.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def flops(self, num_tokens: int) -> int:
        """Floating point operations of one copy's forward pass of one clip."""
        return self.pooler.flops(num_tokens) + 2 * self.linear.weight[0].numel()


class LinearHeads(nn.Module):
    """Copies of a linear layer."""

    def __init__(self, embed_dim: int, num_outputs: int) -> None:
        super().__init__()
        self.linear = StackedLinear(1, embed_dim, num_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """From features (B, D) to logits (copies, B, C)."""
        shared = features[None].expand(len(self.linear.weight), -1, -1)
        logits: Tensor = self.linear(shared)
        return logits

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights from a normal distribution of deviation 0.01, as MAE and DINOv2 do; biases are zero."""
        nn.init.normal_(self.linear.weight, std=_LINEAR_STD, generator=generator)

    def flops(self, num_tokens: int) -> int:
        """Floating point operations of one copy's forward pass of one clip, whatever its tokens."""
        return 2 * self.linear.weight[0].numel()


Heads = AttentiveHeads | LinearHeads | CopiedNetwork


def build_heads(
    config: BankConfig,
    encoder: FrozenEncoder,
    num_outputs: int,
    *,
    seed: int,
    distances: tuple[float, float] | None = None,
) -> Heads:
    """Build one copy of a head for an encoder, with the weights that all heads of a bank begin with.

    Args:
        config: The readout.
        encoder: The encoder.
        num_outputs: Classes, or 1 of numbers; of dense heads numbers a place.
        seed: The key of the weights.
        distances: The nearest and the farthest that a head of depth can predict, in mm.

    Raises:
        ModelError: The encoder's width cannot be divided into so many attention heads, or it has too few blocks.
    """
    key = int(hash64(seed, Purpose.HEAD_INIT)) % 2**63
    generator = torch.Generator().manual_seed(key)
    if isinstance(config, DenseLinearConfig | DenseDptConfig):
        return build_dense(config, encoder, num_outputs, distances, generator)

    if isinstance(config, LinearConfig):
        heads: AttentiveHeads | LinearHeads = LinearHeads(encoder.pooled_dim, num_outputs)
    else:
        if encoder.embed_dim % config.num_heads:
            raise ModelError(
                f"readout.num_heads: expected a divisor of the tokens' width {encoder.embed_dim}, "
                f"got {config.num_heads}"
            )
        heads = AttentiveHeads(config, encoder.embed_dim, num_outputs)

    heads.initialise(generator)
    return heads


class Inputs(Protocol):
    """What heads are fed with.

    Attributes:
        statistics: What has been learned of the inputs themselves, by name; part of the state of a run.
    """

    statistics: dict[str, Tensor]

    def encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        """Encode clips."""

    def of_step(self, encoded: Iterable[Example]) -> Iterator[Example]:
        """From this rank's micro-batches of a step to what heads learn from, piece by piece; collective."""

    def of_judged(self, encoded: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """What heads judge clips by, with statistics of now or earlier."""


class TokenInputs:
    """All tokens of a clip, micro-batch by micro-batch."""

    def __init__(self) -> None:
        self.statistics: dict[str, Tensor] = {}

    def encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        """Encode clips to tokens (B, N, D)."""
        return encoder.tokens(clips)

    def of_step(self, encoded: Iterable[Example]) -> Iterator[Example]:
        """Each micro-batch as it comes, so that one is in memory at a time."""
        yield from encoded

    def of_judged(self, encoded: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """The tokens themselves."""
        return encoded


class PooledInputs:
    """The mean of a clip's tokens, batch-normalised without parameters.

    Mean and variance of a step are those of the global batch, over all micro-batches and ranks: an encoder that is
    frozen needs no gradient of them, and pooled features of a whole step are small. So neither the micro-batch nor the
    number of ranks decides what is learned. Judged clips are normalised by moving averages.

    Args:
        width: Width of the features.
        device: Where they are.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.statistics = {
            "mean": torch.zeros(width, dtype=torch.float64, device=device),
            "variance": torch.ones(width, dtype=torch.float64, device=device),
        }

    def encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        """Encode clips to features (B, D)."""
        return encoder.pooled(clips)

    def of_step(self, encoded: Iterable[Example]) -> Iterator[Example]:
        """All of the step at once, normalised by the global batch; moves the averages."""
        features, labels = zip(*encoded, strict=True)
        rows = torch.cat(features).double()

        totals = torch.stack([torch.ones_like(rows), rows, rows.square()]).sum(1)
        dist.all_reduce(totals)
        count, sums, squares = totals
        mean = sums / count
        variance = (squares / count - mean.square()).clamp(min=0.0)

        unbiased = variance * count / (count - 1).clamp(min=1.0)
        self.statistics["mean"].lerp_(mean, _NORM_MOMENTUM)
        self.statistics["variance"].lerp_(unbiased, _NORM_MOMENTUM)
        yield _normalised(rows, mean, variance).to(features[0].dtype), torch.cat(labels)

    def of_judged(self, encoded: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """Features normalised by moving averages."""
        normed = _normalised(encoded.double(), statistics["mean"], statistics["variance"])
        return normed.to(encoded.dtype)


def _normalised(rows: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return (rows - mean) / (variance + _NORM_EPS).sqrt()


def inputs_of(config: BankConfig, encoder: FrozenEncoder, device: torch.device) -> Inputs:
    """What the heads of a readout are fed with."""
    if isinstance(config, DenseLinearConfig):
        return NormedInputs(encoder.embed_dim, device)
    if isinstance(config, DenseDptConfig):
        return LayerInputs(four_layers(encoder.num_layers))
    if isinstance(config, LinearConfig):
        return PooledInputs(encoder.pooled_dim, device)
    return TokenInputs()
