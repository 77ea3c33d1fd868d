"""V-JEPA's predictor: from encoded visible tokens to an encoder's features of the masked ones."""

import torch
from torch import Tensor, nn

from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.embed import Modality
from surgstream.trainer.models.flops import decoding_flops, linear_macs
from surgstream.trainer.models.rope import rope_of
from surgstream.trainer.models.vit import NORM_EPS, Blocks


class Predictor(nn.Module):
    """Predicts features of tokens where they are masked; of visible ones as well, where it is asked to.

    Its positions are the encoder's. Tokens of several levels, side by side, come in through an MLP (V-JEPA 2.1).

    Args:
        config: Its numbers.
        encoder: Those of the encoder whose tokens it is given: their grid, width D, levels L, positions, and whether
            some are of images.
        out_dim: Width of the features that it predicts; None is that of the encoder's levels side by side, L D.
        predicts_visible: Whether it has a second head, for visible tokens.
    """

    def __init__(
        self,
        config: PredictorConfig,
        encoder: EncoderConfig,
        *,
        out_dim: int | None = None,
        predicts_visible: bool = False,
    ) -> None:
        super().__init__()
        self.shape = config.shape
        width = config.embed_dim
        out_dim = out_dim or encoder.num_levels * encoder.shape.embed_dim

        self.projection = _projection(encoder, width)
        self.mask_tokens = nn.Parameter(torch.zeros(config.num_mask_tokens, width))
        self.modality = Modality(width) if encoder.images else None
        self.blocks = Blocks(config.shape, config.activation_checkpointing, rotary=True)
        self.rope = rope_of(encoder, config.shape)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, out_dim)
        self.visible_head = nn.Linear(width, out_dim) if predicts_visible else None

    def forward(
        self,
        encoded: Tensor,
        visible: Tensor,
        masked: Tensor,
        mask_number: int,
        *,
        is_image: bool = False,
    ) -> Tensor:
        """Predict the masked tokens.

        Args:
            encoded: (B, V, L D), the encoder's output.
            visible: (B, V) int64, the numbers of those tokens.
            masked: (B, M) int64, the numbers of the tokens to predict.
            mask_number: Number of the kind of mask, which has a mask token of its own.
            is_image: Whether these are tokens of images.

        Returns:
            (B, M, out_dim), in the order of `masked`.
        """
        tokens = self._tokens(encoded, visible, masked, mask_number, is_image)
        predicted: Tensor = self.head(self.norm(tokens[:, visible.shape[1] :]))
        return predicted

    def both(
        self,
        encoded: Tensor,
        visible: Tensor,
        masked: Tensor,
        mask_number: int,
        *,
        is_image: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masked tokens (B, M, out_dim), and the visible ones (B, V, out_dim); see `forward`."""
        assert self.visible_head is not None
        tokens = self._tokens(encoded, visible, masked, mask_number, is_image)
        of_visible, of_masked = self.norm(tokens).split([visible.shape[1], masked.shape[1]], dim=1)
        return self.head(of_masked), self.visible_head(of_visible)

    def _tokens(
        self, encoded: Tensor, visible: Tensor, masked: Tensor, mask_number: int, is_image: bool
    ) -> Tensor:
        """All tokens after the last block, (B, V + M, width), visible ones first."""
        shown = self.projection(encoded)
        # Where there are fewer mask tokens than kinds of masks, kinds share them.
        hidden = self.mask_tokens[mask_number % len(self.mask_tokens)].expand(*masked.shape, -1)
        tokens = torch.cat([shown, hidden.to(shown.dtype)], dim=1)
        if self.modality is not None:
            tokens = tokens + self.modality(is_image=is_image).to(tokens.dtype)

        rotation = self.rope(torch.cat([visible, masked], dim=1))
        after: Tensor = self.blocks(tokens, rotation=rotation)
        return after

    def flops(self, num_visible: int, num_masked: int) -> int:
        """Floating point operations of a forward and a backward pass of one clip and one mask."""
        of_masked = decoding_flops(self, num_visible, num_masked)
        if self.visible_head is None:
            return of_masked
        return of_masked + 2 * 3 * linear_macs(self.visible_head, num_visible)


def _projection(encoder: EncoderConfig, width: int) -> nn.Module:
    """From an encoder's levels, side by side, to the predictor's width."""
    embed_dim = encoder.shape.embed_dim
    if encoder.num_levels == 1:
        return nn.Linear(embed_dim, width)
    join = nn.Linear(encoder.num_levels * embed_dim, embed_dim)
    return nn.Sequential(join, nn.GELU(), nn.Linear(embed_dim, width))
