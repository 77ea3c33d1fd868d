"""The decoder of masked video modelling: from encoded visible tokens to a prediction for every masked one."""

import torch
from torch import Tensor, nn

from surgstream.trainer.models.config import DecoderConfig, Grid
from surgstream.trainer.models.embed import fixed_positions
from surgstream.trainer.models.flops import decoding_flops
from surgstream.trainer.models.rope import Rope
from surgstream.trainer.models.vit import NORM_EPS, Blocks


class Decoder(nn.Module):
    """Predicts something about every masked token.

    Args:
        config: Its numbers.
        grid: The clips' grid of tokens.
        encoder_dim: Width of the encoder's tokens.
        output_dim: Width of a prediction.
    """

    positions: Tensor | None

    def __init__(
        self, config: DecoderConfig, grid: Grid, encoder_dim: int, output_dim: int
    ) -> None:
        super().__init__()
        self.shape = config.shape
        self.projection = nn.Linear(encoder_dim, config.embed_dim, bias=config.projection_bias)
        self.mask_token = nn.Parameter(torch.zeros(config.embed_dim))
        positions = fixed_positions(config.positions, config.embed_dim, grid)
        self.register_buffer("positions", positions, persistent=False)
        self.rope = Rope(config.shape, grid) if positions is None else None
        is_rotary = self.rope is not None
        self.blocks = Blocks(config.shape, config.activation_checkpointing, rotary=is_rotary)
        self.norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(config.embed_dim, output_dim)

    def forward(
        self,
        encoded: Tensor,
        visible: Tensor,
        masked: Tensor,
        drop_path_scales: Tensor | None = None,
    ) -> Tensor:
        """Predict the masked tokens.

        Args:
            encoded: (B, V, D), the encoder's output.
            visible: (B, V) int64, the numbers of those tokens.
            masked: (B, M) int64, the numbers of the tokens to predict.
            drop_path_scales: (B, depth, 2) float32, see `Block.forward`.

        Returns:
            (B, M, output_dim), in the order of `masked`.
        """
        shown = self.projection(encoded)
        hidden = self.mask_token.expand(*masked.shape, -1)
        if self.positions is not None:
            shown = shown + self.positions[visible]
            hidden = hidden + self.positions[masked]

        rotation = self.rope(torch.cat([visible, masked], dim=1)) if self.rope else None
        tokens = self.blocks(torch.cat([shown, hidden], dim=1), drop_path_scales, rotation)
        # Visible tokens come first, and nothing is predicted of them.
        predicted: Tensor = self.head(self.norm(tokens[:, shown.shape[1] :]))
        return predicted

    def flops(self, num_visible: int, num_masked: int) -> int:
        """Floating point operations of a forward and a backward pass of one clip."""
        return decoding_flops(self, num_visible, num_masked)
