"""The video transformer: blocks, and the encoder built of them.

Pre-norm blocks with biases for queries and values, and for keys where rotary positions let them matter (otherwise a key
bias cannot change a softmax), GELU, an MLP four times as wide, LayerNorm with epsilon 1e-6. Stochastic depth is handed
in, not drawn here, so a block has no state and no randomness.
"""

import math
import re

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from trainer.models.config import EncoderConfig, Shape
from trainer.models.embed import TubeletEmbedding
from trainer.models.flops import attention_macs, linear_macs
from trainer.models.rope import Rope, rotate

NORM_EPS = 1e-6
MLP_RATIO = 4
_BRANCH_END = re.compile(r"blocks\.(\d+)\.(?:attention\.projection|mlp\.2)\.weight$")


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        embed_dim: D.
        num_heads: Heads.
        rotary: Whether positions are rotary, so that keys have biases.
    """

    def __init__(self, embed_dim: int, num_heads: int, rotary: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dim))
        self.k_bias = nn.Parameter(torch.zeros(embed_dim)) if rotary else None
        self.v_bias = nn.Parameter(torch.zeros(embed_dim))
        self.projection = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, rotation: Tensor | None = None) -> Tensor:
        """Attend over all N tokens, with the rotary positions that `rotate` takes; (B, N, D) to (B, N, D)."""
        k_bias = torch.zeros_like(self.q_bias) if self.k_bias is None else self.k_bias
        qkv = F.linear(x, self.qkv.weight, torch.cat([self.q_bias, k_bias, self.v_bias]))
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.projection(rearrange(attended, "b h n d -> b n (h d)"))
        return out


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, embed_dim: int, num_heads: int, rotary: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.attention = Attention(embed_dim, num_heads, rotary)
        self.norm2 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, MLP_RATIO * embed_dim), nn.GELU(), nn.Linear(MLP_RATIO * embed_dim, embed_dim)
        )

    def forward(self, x: Tensor, keep: Tensor | None = None, rotation: Tensor | None = None) -> Tensor:
        """Update the tokens.

        Args:
            x: (B, N, D).
            keep: (B,) factors of this block's two residual branches: 0 drops both, 1/(1 - rate) keeps both; None is 1.
            rotation: Rotary positions, see `rotate`.

        Returns:
            (B, N, D).
        """
        scale = 1.0 if keep is None else keep[:, None, None]
        x = x + self.attention(self.norm1(x), rotation) * scale
        x = x + self.mlp(self.norm2(x)) * scale
        return x


class Blocks(nn.ModuleList):
    """A stack of blocks, without a final norm.

    Args:
        shape: Width, depth and heads.
        activation_checkpointing: Recompute each block in the backward pass.
        rotary: Whether positions are rotary.
    """

    def __init__(self, shape: Shape, activation_checkpointing: bool = False, rotary: bool = False) -> None:
        super().__init__(Block(shape.embed_dim, shape.num_heads, rotary) for _ in range(shape.depth))
        self.shape, self.activation_checkpointing = shape, activation_checkpointing

    def forward(self, x: Tensor, keeps: Tensor | None = None, rotation: Tensor | None = None) -> Tensor:
        """Run all blocks.

        Args:
            x: (B, N, D).
            keeps: (B, depth) float32, see `Block.forward`; None keeps everything.
            rotation: Rotary positions, see `rotate`.

        Returns:
            (B, N, D).
        """
        for i, block in enumerate(self):
            keep = None if keeps is None else keeps[:, i]
            if self.activation_checkpointing and torch.is_grad_enabled():
                # Blocks draw nothing, so there is no random state to restore.
                x = checkpoint(block, x, keep, rotation, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, keep, rotation)
        return x


class Encoder(nn.Module):
    """A video ViT that sees only the tokens it is told to.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.shape, embed_dim = config.shape, config.shape.embed_dim
        self.embedding = TubeletEmbedding(
            embed_dim, config.grid, config.tubelet_size, config.patch_size, config.positions
        )
        self.blocks = Blocks(config.shape, config.activation_checkpointing, rotary=config.positions == "rope")
        self.rope = Rope(config.shape, config.grid) if config.positions == "rope" else None
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)

    def forward(self, clips: Tensor, visible: Tensor | None = None, keeps: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            clips: (B, C, T, H, W), ImageNet-normalised.
            visible: (B, M) int64, the tokens to encode; all N when None.
            keeps: (B, depth) float32, see `Block.forward`.

        Returns:
            (B, M, D), normed.
        """
        rotation = None if self.rope is None else self.rope(visible)
        encoded: Tensor = self.norm(self.blocks(self.embedding(clips, visible), keeps, rotation))
        return encoded

    def flops(self, num_tokens: int, *, backward: bool = True) -> int:
        """Floating point operations of a forward, and a backward, pass of one clip's `num_tokens` visible tokens."""
        blocks = linear_macs(self.blocks, num_tokens) + attention_macs(
            self.shape.embed_dim, self.shape.depth, num_tokens
        )
        embedding = linear_macs(self.embedding, num_tokens)
        # Pixels take no gradient: the embedding's backward pass computes that of its weights alone.
        return 2 * (3 * blocks + 2 * embedding if backward else blocks + embedding)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Initialise a model built of this package's parts, as VideoMAE does.

    Matrices (with queries, keys and values as one) are Xavier uniform, mask tokens truncated normal with standard
    deviation 0.02, biases zero, norms one. VideoMAE leaves its Conv3d at PyTorch's default; here it is a matrix like
    the others, as in MAE.

    Args:
        module: Changed in place, parameter by parameter in the order of their names.
        generator: The only source of randomness.
    """
    for name, parameter in module.named_parameters():
        if name.endswith("mask_token"):
            nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.ones_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, generator=generator)


def initialise_rescaled(module: nn.Module, generator: torch.Generator) -> None:
    """Initialise a model built of this package's parts, as V-JEPA does.

    Matrices are truncated normal with standard deviation 0.02, and those that end block i's two residual branches,
    counted from 1, are divided by sqrt(2 i); mask tokens and biases are zero, norms one.

    Args:
        module: Changed in place, parameter by parameter in the order of their names.
        generator: The only source of randomness.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("bias", "mask_tokens")):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 1:
                nn.init.ones_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
                if last := _BRANCH_END.search(name):
                    parameter.div_(math.sqrt(2 * (int(last[1]) + 1)))


def num_parameters(module: nn.Module) -> int:
    """Parameters of a module, its fixed positions counted, as the papers count."""
    positions = (buffer for name, buffer in module.named_buffers() if name.endswith("positions"))
    return sum(p.numel() for p in module.parameters()) + sum(p.numel() for p in positions)
