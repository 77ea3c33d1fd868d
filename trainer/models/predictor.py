"""V-JEPA's predictor: from encoded visible tokens to an encoder's features of the masked ones."""

import torch
from torch import Tensor, nn

from surgstream.trainer.models.config import Grid, PredictorConfig
from surgstream.trainer.models.flops import decoding_flops
from surgstream.trainer.models.rope import Rope
from surgstream.trainer.models.vit import NORM_EPS, Blocks


class Predictor(nn.Module):
    """Predicts the encoder's tokens where they are masked.

    Args:
        config: Its numbers.
        grid: The clips' grid of tokens.
        encoder_dim: Width of the encoder's tokens, D.
    """

    def __init__(self, config: PredictorConfig, grid: Grid, encoder_dim: int) -> None:
        super().__init__()
        self.shape = config.shape
        self.projection = nn.Linear(encoder_dim, config.embed_dim)
        self.mask_tokens = nn.Parameter(torch.zeros(config.num_mask_tokens, config.embed_dim))
        self.blocks = Blocks(config.shape, config.activation_checkpointing, rotary=True)
        self.rope = Rope(config.shape, grid)
        self.norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(config.embed_dim, encoder_dim)

    def forward(self, encoded: Tensor, visible: Tensor, masked: Tensor, mask_number: int) -> Tensor:
        """Predict the masked tokens.

        Args:
            encoded: (B, V, D), the encoder's output.
            visible: (B, V) int64, the numbers of those tokens.
            masked: (B, M) int64, the numbers of the tokens to predict.
            mask_number: Number of the kind of mask, which has a mask token of its own.

        Returns:
            (B, M, D), in the order of `masked`.
        """
        shown = self.projection(encoded)
        # Where there are fewer mask tokens than kinds of masks, kinds share them.
        hidden = self.mask_tokens[mask_number % len(self.mask_tokens)].expand(*masked.shape, -1)
        rotation = self.rope(torch.cat([visible, masked], dim=1))
        tokens = self.blocks(torch.cat([shown, hidden.to(shown.dtype)], dim=1), rotation=rotation)
        # Visible tokens come first, and nothing is predicted of them.
        predicted: Tensor = self.head(self.norm(tokens[:, shown.shape[1] :]))
        return predicted

    def flops(self, num_visible: int, num_masked: int) -> int:
        """Floating point operations of a forward and a backward pass of one clip and one mask."""
        return decoding_flops(self, num_visible, num_masked)
