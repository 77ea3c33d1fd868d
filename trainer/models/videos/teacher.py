"""The frozen video teacher: an encoder of clips, run on all of the student's clips."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.initial import initialise, initialise_rescaled
from surgstream.trainer.models.networks import differences_between
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.models.vit import Encoder

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class VideoTeacher(nn.Module):
    """A frozen video encoder: the normed tokens of its last block, for every token of a clip.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: VideoTeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = _DTYPES[config.dtype]
        self.embed_dim = config.encoder.shape.embed_dim
        self.pixels: nn.Module = nn.Identity()
        self.encoder = Encoder(config.encoder)
        self._freeze()

    def init_weights(self, generator: torch.Generator) -> None:
        """Give it random weights."""
        start = initialise_rescaled if self.config.encoder.is_rotary else initialise
        start(self.encoder, generator)

    def take(self, encoder: Encoder, pixels: nn.Module) -> None:
        """Take an encoder that was read.

        Args:
            encoder: The encoder, of the numbers that were given.
            pixels: From pixels as a `ClipBatch` has them to those that it was trained on.

        Raises:
            ModelError: It is of other numbers.
        """
        expected = self.encoder
        differences = list(differences_between(encoder.state_dict(), expected.state_dict()))
        if encoder.shape.num_heads != expected.shape.num_heads:
            differences.append(
                f"{encoder.shape.num_heads} attention heads, not {expected.shape.num_heads}"
            )
        if differences:
            raise ModelError(
                f"encoder: expected the numbers of {self.config.weights}, got others than it has: "
                f"{differences[0]}"
            )

        self.encoder = encoder
        self.pixels = pixels
        self._freeze()

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
        """Features of every token.

        Args:
            clips: (B, C, T, H, W), normalised as those of a `ClipBatch`.

        Returns:
            (B, N, D) without gradient, tokens in (T, H, W) order, of the weights' type or autocast's.
        """
        side = self.config.encoder.image_size
        if clips.shape[-1] != side:
            frames = rearrange(clips, "b c t h w -> (b t) c h w")
            frames = F.interpolate(frames, (side, side), mode="bilinear", antialias=True)
            clips = rearrange(frames, "(b t) c h w -> b c t h w", b=len(clips))

        features: Tensor = self.encoder(self.pixels(clips).to(self.dtype))
        return features

    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
        return self.encoder.flops(self.config.encoder.grid.num_tokens, backward=False)

    def _freeze(self) -> None:
        self.encoder.to(self.dtype)
        self.requires_grad_(False).eval()
