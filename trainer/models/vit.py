"""The video transformer: blocks, and the encoder built of them.

Pre-norm blocks with biases for queries and values, and for keys where rotary positions let them matter (otherwise a key
bias cannot change a softmax), GELU, an MLP some four times as wide, LayerNorm with epsilon 1e-6. Stochastic depth is
handed in, not drawn here, so a block has no state and no randomness.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from surgstream.trainer.models.config import EncoderConfig, TransformerShape
from surgstream.trainer.models.embed import TubeletEmbedding
from surgstream.trainer.models.flops import attention_macs, linear_macs
from surgstream.trainer.models.rope import rope_of, rotate

NORM_EPS = 1e-6


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
        biases = torch.cat([self.q_bias, k_bias, self.v_bias])
        qkv = F.linear(x, self.qkv.weight, biases)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.num_heads)

        if rotation is not None:
            q = rotate(q, rotation)
            k = rotate(k, rotation)
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.projection(rearrange(attended, "b h n d -> b n (h d)"))
        return out


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, shape: TransformerShape, rotary: bool = False) -> None:
        super().__init__()
        embed_dim = shape.embed_dim
        mlp_dim = shape.mlp_dim
        self.norm1 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.attention = Attention(embed_dim, shape.num_heads, rotary)
        self.norm2 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        widen = nn.Linear(embed_dim, mlp_dim)
        narrow = nn.Linear(mlp_dim, embed_dim)
        self.mlp = nn.Sequential(widen, nn.GELU(), narrow)

    def forward(
        self, x: Tensor, keep: Tensor | None = None, rotation: Tensor | None = None
    ) -> Tensor:
        """Update the tokens.

        Args:
            x: (B, N, D).
            keep: (B, 2) factors of the attention's and the MLP's residual branch: 0 drops it, 1/(1 - rate) keeps it;
                None is 1.
            rotation: Rotary positions, see `rotate`.

        Returns:
            (B, N, D).
        """
        # Each (B, 1, 1): one factor for all tokens of a clip
        of_attention, of_mlp = (1.0, 1.0) if keep is None else keep[:, :, None, None].unbind(1)
        attended = self.attention(self.norm1(x), rotation)
        x = x + attended * of_attention
        x = x + self.mlp(self.norm2(x)) * of_mlp
        return x


class Blocks(nn.ModuleList):
    """A stack of blocks, without a final norm.

    Args:
        shape: Width, depth and heads.
        activation_checkpointing: Recompute each block in the backward pass.
        rotary: Whether positions are rotary.
    """

    def __init__(
        self, shape: TransformerShape, activation_checkpointing: bool = False, rotary: bool = False
    ) -> None:
        super().__init__(Block(shape, rotary) for _ in range(shape.depth))
        self.shape = shape
        self.activation_checkpointing = activation_checkpointing

    def forward(
        self, x: Tensor, drop_path_scales: Tensor | None = None, rotation: Tensor | None = None
    ) -> Tensor:
        """Run all blocks; see `after`."""
        return self.after([len(self) - 1], x, drop_path_scales, rotation)[0]

    def after(
        self,
        numbers: Sequence[int],
        x: Tensor,
        drop_path_scales: Tensor | None = None,
        rotation: Tensor | None = None,
    ) -> list[Tensor]:
        """Run all blocks, and keep what some of them give.

        Args:
            numbers: Their numbers, from 0.
            x: (B, N, D).
            drop_path_scales: (B, depth, 2) float32, see `Block.forward`; None keeps everything.
            rotation: Rotary positions, see `rotate`.

        Returns:
            (B, N, D) each, in the order in which they are named.
        """
        found = {}
        for i, block in enumerate(self):
            keep = None if drop_path_scales is None else drop_path_scales[:, i]
            if self.activation_checkpointing and torch.is_grad_enabled():
                # Blocks draw nothing, so there is no random state to restore.
                x = checkpoint(
                    block, x, keep, rotation, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x = block(x, keep, rotation)
            if i in numbers:
                found[i] = x
        return [found[number] for number in numbers]


class Encoder(nn.Module):
    """A video ViT that sees only the tokens it is told to.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.shape = config.shape
        embed_dim = config.shape.embed_dim
        self.embedding = TubeletEmbedding(
            embed_dim,
            config.grid,
            config.tubelet_size,
            config.patch_size,
            config.positions,
            images=config.images,
        )
        self.blocks = Blocks(config.shape, config.activation_checkpointing, rotary=config.is_rotary)
        self.rope = rope_of(config, config.shape) if config.is_rotary else None
        self.norm: nn.Module = nn.LayerNorm(embed_dim, eps=NORM_EPS)

        # Of levels before the last one, whose norm is `norm`
        self.levels = config.levels or (config.shape.depth,)
        earlier = [nn.LayerNorm(embed_dim, eps=NORM_EPS) for _ in self.levels[:-1]]
        self.level_norms = nn.ModuleList(earlier)

    def forward(
        self, clips: Tensor, visible: Tensor | None = None, drop_path_scales: Tensor | None = None
    ) -> Tensor:
        """Encode clips, or images where there is a tokenizer for them.

        Args:
            clips: (B, C, T, H, W), ImageNet-normalised; images have one frame.
            visible: (B, M) int64, the tokens to encode; all N when None.
            drop_path_scales: (B, depth, 2) float32, see `Block.forward`.

        Returns:
            (B, M, D), normed.
        """
        encoded: Tensor = self.norm(self.before_norm(clips, visible, drop_path_scales))
        return encoded

    def before_norm(
        self, clips: Tensor, visible: Tensor | None = None, drop_path_scales: Tensor | None = None
    ) -> Tensor:
        """The tokens (B, M, D) of the last block; see `forward`."""
        tokens = self.embedding(clips, visible)
        encoded: Tensor = self.blocks(tokens, drop_path_scales, self._rotation(tokens, visible))
        return encoded

    def at_levels(self, clips: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode clips, or images, to the levels that a predictor learns from: (B, M, L D), each normed by itself."""
        numbers = [level - 1 for level in self.levels]
        found = self.after_blocks(clips, numbers, visible)
        norms = (*self.level_norms, self.norm)
        normed = [norm(tokens) for norm, tokens in zip(norms, found, strict=True)]
        return torch.cat(normed, dim=-1)

    def after_blocks(
        self, clips: Tensor, numbers: Sequence[int], visible: Tensor | None = None
    ) -> list[Tensor]:
        """The tokens (B, M, D) of some blocks, by their numbers from 0, in the order in which they are named."""
        tokens = self.embedding(clips, visible)
        return self.blocks.after(numbers, tokens, None, self._rotation(tokens, visible))

    def _rotation(self, tokens: Tensor, visible: Tensor | None) -> Tensor | None:
        """The rotary positions of embedded tokens (B, M, D)."""
        if self.rope is None:
            return None
        return self.rope.first(tokens.shape[1]) if visible is None else self.rope(visible)

    def flops(self, num_tokens: int, *, backward: bool = True, of_image: bool = False) -> int:
        """Floating point operations of a forward, and a backward, pass of one clip's, or image's, visible tokens."""
        linear = linear_macs(self.blocks, num_tokens)
        attention = attention_macs(self.shape.embed_dim, self.shape.depth, num_tokens)
        projection = self.embedding.image_projection if of_image else self.embedding.projection
        assert projection is not None
        embedding = linear_macs(projection, num_tokens)
        if not backward:
            return 2 * (linear + attention + embedding)
        # Pixels take no gradient: the embedding's backward pass computes that of its weights alone
        return 2 * (3 * (linear + attention) + 2 * embedding)


def num_parameters(module: nn.Module) -> int:
    """Parameters of a module, its fixed positions counted, as the papers count."""
    positions = [buffer for name, buffer in module.named_buffers() if name.endswith("positions")]
    return sum(tensor.numel() for tensor in (*module.parameters(), *positions))
