"""A video ViT with fixed positions of time, row and column, which transformers lacks, for `transformers`.

`surgstream export --layout transformers` copies this file next to the weights. It needs nothing but transformers:

    AutoModel.from_pretrained(FOLDER, trust_remote_code=True)
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class SurgicalVitConfig(PretrainedConfig):
    """The numbers of the network; see `SurgicalVitModel`."""

    model_type = "surgical_vit"

    def __init__(
        self,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        image_size: int = 224,
        num_frames: int = 16,
        patch_size: int = 16,
        tubelet_size: int = 2,
        layer_norm_eps: float = 1e-6,
        **others: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.image_size = image_size
        self.num_frames = num_frames
        self.patch_size = patch_size
        self.tubelet_size = tubelet_size
        self.layer_norm_eps = layer_norm_eps
        super().__init__(**others)


class SurgicalVitModel(PreTrainedModel):
    """The encoder."""

    config_class = SurgicalVitConfig
    base_model_prefix = "surgical_vit"
    main_input_name = "pixel_values"
    _no_split_modules = ["Block"]  # noqa: RUF012 - as transformers has it

    def __init__(self, config: SurgicalVitConfig) -> None:
        super().__init__(config)
        self.patch_embed = Embedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        """Encode clips.

        Args:
            pixel_values: (B, T, C, H, W), as the processor returns them.

        Returns:
            `last_hidden_state` (B, N, D): the normed tokens, in the order of time, row, column.
        """
        tokens = self.patch_embed(pixel_values)
        for block in self.blocks:
            tokens = block(tokens)
        return BaseModelOutput(last_hidden_state=self.norm(tokens))


class Embedding(nn.Module):
    """Tubelets and their positions."""

    def __init__(self, config: SurgicalVitConfig) -> None:
        super().__init__()
        kernel = (config.tubelet_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.hidden_size, kernel_size=kernel, stride=kernel)
        slices = config.num_frames // config.tubelet_size
        side = config.image_size // config.patch_size
        # No buffer: transformers makes models without values, and would not give it any
        self.positions = sincos_positions(config.hidden_size, (slices, side, side))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """From (B, T, C, H, W) to (B, N, D)."""
        tokens: Tensor = self.proj(pixel_values.transpose(1, 2)).flatten(2).transpose(1, 2)
        return tokens + self.positions.to(tokens)


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, config: SurgicalVitConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Mlp(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Update the tokens, (B, N, D)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention, with biases for queries and values."""

    def __init__(self, config: SurgicalVitConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend over all tokens, (B, N, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        heads = linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        projected: Tensor = self.proj(attended)
        return projected


class Mlp(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, config: SurgicalVitConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Update each token, (B, N, D)."""
        updated: Tensor = self.fc2(nn.functional.gelu(self.fc1(tokens)))
        return updated


def sincos_positions(width: int, grid: tuple[int, int, int]) -> Tensor:
    """The positions of all tokens, in the order of time, row, column.

    A quarter of the width is for time, then three eighths each for the column and the row. An axis of width d encodes
    its coordinate x as sin(x w_i) for all i, then cos(x w_i), with w_i = 10000^(-2i/d).

    Args:
        width: Width of a token, D.
        grid: Tokens along time, rows and columns; N in all.

    Returns:
        (N, D) float32.
    """
    time, row, column = np.indices(grid).reshape(3, -1)
    parts = []
    for coordinate, share in ((time, width // 4), (column, width * 3 // 8), (row, width * 3 // 8)):
        angles = np.outer(coordinate, 10000.0 ** (-np.arange(0, share, 2) / share))
        parts += [np.sin(angles), np.cos(angles)]

    # Not torch.tensor, which has no values on the meta device, where transformers makes models.
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))
