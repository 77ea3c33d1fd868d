"""Attentive poolers (V-JEPA 2): many of one shape, with parameters of their own, that look at the same tokens at once.

K copies of a network are one module whose parameters have a leading axis of K: a linear layer is one batched product.
What comes out for a copy depends on its own slice alone. A bank of probes takes some slices at a time by
`torch.func.functional_call`, since the modules ask nothing but shapes.

A pooler is `self_blocks` pre-norm blocks of self-attention over all N tokens, and a last block in which one learned
query attends to them:

    x_i = y_i + MLP(norm2(y_i))  with  y_i = x_{i-1} + W SA(norm1(x_{i-1}))
    out = y + MLP(norm2(y))      with  y = query + CA(query, norm1(x_last))

The last block has no projection after its attention, and its query no norm before it. Keys have no bias, since that
cannot change a softmax.
"""

import math
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.models.config import TransformerShape
from surgstream.trainer.models.flops import attention_macs
from surgstream.trainer.models.vit import NORM_EPS

_INIT_STD = 0.02


class StackedLinear(nn.Module):
    """K linear layers.

    Args:
        num_copies: K.
        in_features: Width of what goes in.
        out_features: Width of what comes out.
        bias: Whether they have biases.
    """

    def __init__(
        self, num_copies: int, in_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_copies, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(num_copies, out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply each layer to its own rows; (K, ..., in) to (K, ..., out)."""
        rows = x.reshape(len(x), -1, x.shape[-1])
        weight = self.weight.transpose(1, 2)
        product = torch.bmm if self.bias is None else partial(torch.baddbmm, self.bias[:, None])
        out: Tensor = product(rows, weight)
        return out.reshape(*x.shape[:-1], -1)


class StackedNorm(nn.Module):
    """K LayerNorms over the last of `width` features."""

    def __init__(self, num_copies: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_copies, width))
        self.bias = nn.Parameter(torch.zeros(num_copies, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; (K, B, N, D) or, the same for all, (1, B, N, D) to (K, B, N, D)."""
        normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
        return torch.addcmul(self.bias[:, None, None], normed, self.weight[:, None, None])


class _Attention(nn.Module):
    """K multi-head attentions of queries to tokens, without a projection of what comes out."""

    def __init__(self, num_copies: int, shape: TransformerShape) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        width = shape.embed_dim
        self.query = StackedLinear(num_copies, width, width)
        self.key = StackedLinear(num_copies, width, width, bias=False)
        self.value = StackedLinear(num_copies, width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attend; (K, B, Q, D) and (K, B, N, D) to (K, B, Q, D)."""
        projected = (self.query(queries), self.key(tokens), self.value(tokens))
        # Four axes, as fused attention wants them
        q, k, v = (
            rearrange(part, "k b n (h d) -> (k b) h n d", h=self.num_heads) for part in projected
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        return rearrange(attended, "(k b) h n d -> k b n (h d)", k=len(queries))


class _Mlp(nn.Module):
    """K MLPs of two layers, with GELU between."""

    def __init__(self, num_copies: int, shape: TransformerShape) -> None:
        super().__init__()
        self.widen = StackedLinear(num_copies, shape.embed_dim, shape.mlp_dim)
        self.narrow = StackedLinear(num_copies, shape.mlp_dim, shape.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each to its own tokens; (K, B, N, D) to the same."""
        out: Tensor = self.narrow(F.gelu(self.widen(x)))
        return out


class _SelfBlock(nn.Module):
    """K blocks of self-attention."""

    def __init__(self, num_copies: int, shape: TransformerShape) -> None:
        super().__init__()
        self.norm1 = StackedNorm(num_copies, shape.embed_dim)
        self.attention = _Attention(num_copies, shape)
        self.projection = StackedLinear(num_copies, shape.embed_dim, shape.embed_dim)
        self.norm2 = StackedNorm(num_copies, shape.embed_dim)
        self.mlp = _Mlp(num_copies, shape)

    def forward(self, x: Tensor) -> Tensor:
        """Update the tokens; (K, B, N, D) or (1, B, N, D) to (K, B, N, D)."""
        normed = self.norm1(x)
        x = x + self.projection(self.attention(normed, normed))
        updated: Tensor = x + self.mlp(self.norm2(x))
        return updated


class _CrossBlock(nn.Module):
    """K blocks in which queries attend to tokens."""

    def __init__(self, num_copies: int, shape: TransformerShape) -> None:
        super().__init__()
        self.norm1 = StackedNorm(num_copies, shape.embed_dim)
        self.attention = _Attention(num_copies, shape)
        self.norm2 = StackedNorm(num_copies, shape.embed_dim)
        self.mlp = _Mlp(num_copies, shape)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Update the queries; (K, B, Q, D) and (K or 1, B, N, D) to (K, B, Q, D)."""
        queries = queries + self.attention(queries, self.norm1(tokens))
        updated: Tensor = queries + self.mlp(self.norm2(queries))
        return updated


class AttentivePooler(nn.Module):
    """K attentive poolers.

    Args:
        embed_dim: Width of a token, D.
        num_heads: Attention heads of each block.
        self_blocks: Blocks of self-attention before that of the query.
        mlp_ratio: Width of an MLP, in widths of a token.
        num_copies: K.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        self_blocks: int,
        mlp_ratio: float = 4.0,
        num_copies: int = 1,
    ) -> None:
        super().__init__()
        shape = TransformerShape(embed_dim, self_blocks, num_heads, mlp_ratio)
        self.shape = shape
        self.query = nn.Parameter(torch.zeros(num_copies, embed_dim))
        self.blocks = nn.ModuleList(_SelfBlock(num_copies, shape) for _ in range(self_blocks))
        self.cross_block = _CrossBlock(num_copies, shape)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool the tokens of B clips; (B, N, D) to (K, B, D)."""
        x = tokens[None]
        for block in self.blocks:
            x = block(x)

        queries = self.query[:, None, None].expand(-1, len(tokens), -1, -1)
        pooled: Tensor = self.cross_block(queries, x)
        return pooled.squeeze(2)

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise as V-JEPA 2's code does.

        Matrices and the query are normal with standard deviation 0.02. Those that end the two branches of
        self-attention block i, counted from 1, are divided by sqrt(2 i), and that which ends the last block by
        sqrt(2 self_blocks), at least sqrt(2). Norms are one, biases zero.

        Args:
            generator: The only source of randomness.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                is_matrix = name == "query" or parameter.ndim > 2
                if is_matrix:
                    parameter.normal_(std=_INIT_STD, generator=generator)

            for number, block in enumerate(self.blocks, start=1):
                assert isinstance(block, _SelfBlock)
                block.projection.weight.div_(math.sqrt(2 * number))
                block.mlp.narrow.weight.div_(math.sqrt(2 * number))
            self.cross_block.mlp.narrow.weight.div_(math.sqrt(2 * max(1, len(self.blocks))))

    def flops(self, num_tokens: int) -> int:
        """Floating point operations of one copy's forward pass of one clip of `num_tokens` tokens."""
        width = self.shape.embed_dim
        mlp = 2 * width * self.shape.mlp_dim

        # Queries, keys, values and projections are width x width each
        in_blocks = num_tokens * (4 * width**2 + mlp) * len(self.blocks)
        in_blocks += attention_macs(width, len(self.blocks), num_tokens)
        of_keys_and_values = 2 * num_tokens * width**2
        of_query = width**2 + 2 * num_tokens * width + mlp
        return 2 * (in_blocks + of_keys_and_values + of_query)
