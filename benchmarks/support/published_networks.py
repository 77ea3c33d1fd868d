"""The networks of SurgVISTA's published code, restated in plain torch; see `published_step`."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.models.config import DecoderConfig, EncoderConfig
from surgstream.trainer.models.embed import sincos_positions

EPS = 1e-6


class PlainAttention(nn.Module):
    """Attention with its scores in memory."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=False)
        self.q_bias, self.v_bias = (
            nn.Parameter(torch.zeros(embed_dim)),
            nn.Parameter(torch.zeros(embed_dim)),
        )
        self.projection = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all N tokens; (B, N, D) to (B, N, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
        attended = scores.softmax(-1) @ v
        out: Tensor = self.projection(rearrange(attended, "b h n d -> b n (h d)"))
        return out


class PlainBlock(nn.Module):
    """A pre-norm block that drops its branches at random, clip by clip."""

    def __init__(self, embed_dim: int, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(embed_dim, eps=EPS)
        self.norm2 = nn.LayerNorm(embed_dim, eps=EPS)
        self.attention = PlainAttention(embed_dim, num_heads)
        widen = nn.Linear(embed_dim, 4 * embed_dim)
        narrow = nn.Linear(4 * embed_dim, embed_dim)
        self.mlp = nn.Sequential(widen, nn.GELU(), narrow)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        x = x + self._drop(self.attention(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _drop(self, x: Tensor) -> Tensor:
        if not self.drop_path or not self.training:
            return x
        kept = 1 - self.drop_path
        is_kept = x.new_empty(len(x), 1, 1).bernoulli_(kept)
        return x * (is_kept / kept)


def plain_blocks(config: EncoderConfig | DecoderConfig) -> nn.ModuleList:
    """The stack of a network."""
    width, depth, heads, _ = config.shape
    rates = np.linspace(0, config.drop_path, depth).tolist()
    return nn.ModuleList(PlainBlock(width, heads, rate) for rate in rates)


class PlainEmbedding(nn.Module):
    """Every tubelet of a clip, by a convolution, and its position."""

    positions: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.kernel = (3, config.tubelet_size, config.patch_size, config.patch_size)
        width = config.shape.embed_dim
        self.projection = nn.Linear(int(np.prod(self.kernel)), width)
        self.register_buffer("positions", sincos_positions(width, config.grid), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, N, D)."""
        weight = self.projection.weight.view(-1, *self.kernel)
        embedded = F.conv3d(clips, weight, self.projection.bias, stride=self.kernel[1:])
        return embedded.flatten(2).transpose(1, 2) + self.positions


class PlainEncoder(nn.Module):
    """Embeds everything, then goes on with what is not masked."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embedding = PlainEmbedding(config)
        self.blocks = plain_blocks(config)
        self.norm = nn.LayerNorm(config.shape.embed_dim, eps=EPS)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Clips, and the mask (B, N), to the visible tokens (B, V, D)."""
        x = pick(self.embedding(clips), ~mask)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


class PlainDecoder(nn.Module):
    """Predicts the masked tokens."""

    positions: Tensor

    def __init__(self, config: DecoderConfig, encoder: EncoderConfig, output_dim: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.projection = nn.Linear(encoder.shape.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.register_buffer("positions", sincos_positions(width, encoder.grid), persistent=False)
        self.blocks = plain_blocks(config)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, output_dim)

    def forward(self, encoded: Tensor, mask: Tensor) -> Tensor:
        """Visible tokens (B, V, D), and the mask (B, N), to predictions (B, M, output_dim)."""
        positions = self.positions.expand(len(mask), -1, -1)
        hidden = pick(positions, mask)
        shown_tokens = self.projection(encoded) + pick(positions, ~mask)
        hidden_tokens = self.mask_token + hidden
        x = torch.cat([shown_tokens, hidden_tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x[:, -hidden.shape[1] :]))
        return out


def pick(tokens: Tensor, mask: Tensor) -> Tensor:
    """The tokens (B, N, D) where the mask (B, N) is True, equally many in each clip, as (B, M, D)."""
    return tokens[mask].reshape(len(tokens), -1, tokens.shape[-1])
