"""The decoder of masked video modelling: from encoded visible tokens to a prediction for every masked one."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.models.embed import Grid, sincos_positions
from trainer.models.flops import attention_macs, linear_macs
from trainer.models.vit import NORM_EPS, Blocks, Shape, drop_path_problems


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """One decoder.

    Attributes:
        depth: Number of blocks.
        embed_dim: Width.
        num_heads: Attention heads.
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    depth: int
    embed_dim: int = 384
    num_heads: int = 6
    drop_path: float = 0.1
    activation_checkpointing: bool = False

    @property
    def shape(self) -> Shape:
        """Width, depth and heads together."""
        return Shape(self.embed_dim, self.depth, self.num_heads)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        yield from drop_path_problems(self.drop_path)


class Decoder(nn.Module):
    """Predicts something about every masked token.

    Args:
        config: Its numbers.
        grid: Of the clips.
        encoder_dim: Width of the encoder's tokens.
        output_dim: Width of a prediction.
    """

    positions: Tensor

    def __init__(self, config: DecoderConfig, grid: Grid, encoder_dim: int, output_dim: int) -> None:
        super().__init__()
        self.shape = config.shape
        self.projection = nn.Linear(encoder_dim, config.embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(config.embed_dim))
        self.register_buffer("positions", sincos_positions(config.embed_dim, grid), persistent=False)
        self.blocks = Blocks(config.shape, config.activation_checkpointing)
        self.norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(config.embed_dim, output_dim)

    def forward(self, encoded: Tensor, visible: Tensor, masked: Tensor, keeps: Tensor | None = None) -> Tensor:
        """Predict the masked tokens.

        Args:
            encoded: (B, V, D), the encoder's output.
            visible: (B, V) int64, which tokens those are.
            masked: (B, M) int64, which tokens to predict.
            keeps: (B, depth) float32, see `Block.forward`.

        Returns:
            (B, M, output_dim), in the order of `masked`.
        """
        shown = self.projection(encoded) + self.positions[visible]
        hidden = self.mask_token + self.positions[masked]
        tokens = self.blocks(torch.cat([shown, hidden], dim=1), keeps)
        predicted: Tensor = self.head(self.norm(tokens[:, shown.shape[1] :]))
        return predicted

    def flops(self, num_visible: int, num_masked: int) -> int:
        """Floating point operations of a forward and a backward pass of one clip."""
        num_tokens = num_visible + num_masked
        blocks = linear_macs(self.blocks, num_tokens) + attention_macs(
            self.shape.embed_dim, self.shape.depth, num_tokens
        )
        ends = linear_macs(self.projection, num_visible) + linear_macs(self.head, num_masked)
        return 2 * 3 * (blocks + ends)
