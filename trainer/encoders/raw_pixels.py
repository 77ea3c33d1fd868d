"""Pixels as features, a yardstick: whoever is no better has learned nothing that a thumbnail does not show."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.identity import identity_of
from surgstream.trainer.models.config import Grid

_SIDE = 8
_PATCH = 4
_TUBELET = 2


class PixelEncoder(FrozenEncoder):
    """The colours of a clip, without any weights.

    A slice is the mean of two frames, or one frame where their number is odd. It is shrunk to 32 x 32 pixels by area;
    a token is a patch of 4 x 4 of these, D = 48 numbers in the order of row, column, colour, and a slice has 8 x 8 of
    them. A slice's vector is its thumbnail of 8 x 8 mean colours, 192 numbers in the order of row, column, colour. All
    are normalised as clips are.

    Args:
        num_frames: Frames of a clip.
        image_size: Height and width of a clip in pixels.
    """

    def __init__(self, num_frames: int = 16, image_size: int = 224) -> None:
        super().__init__()
        self.name = "pixels"
        self.num_frames = num_frames
        self.image_size = image_size
        self.frames_of_slice = _TUBELET if num_frames % _TUBELET == 0 else 1
        self.grid = Grid(num_frames // self.frames_of_slice, _SIDE, _SIDE)
        self.embed_dim = 3 * _PATCH**2
        self.pooled_dim = 3 * _SIDE**2
        deciding = {"kind": "pixels", "clip": [num_frames, image_size]}
        self.identity = identity_of(deciding, {})

    def tokens(self, clips: Tensor) -> Tensor:
        """See `FrozenEncoder.tokens`."""
        images = self._shrunk(clips, _SIDE * _PATCH)
        pattern = "(b s) c (h p) (w q) -> b (s h w) (p q c)"
        tokens: Tensor = rearrange(images, pattern, b=len(clips), p=_PATCH, q=_PATCH)
        return tokens

    def slices(self, clips: Tensor) -> Tensor:
        """A thumbnail of each slice: (B, S, 192) float32."""
        images = self._shrunk(clips, _SIDE)
        thumbnails: Tensor = rearrange(images, "(b s) c h w -> b s (h w c)", b=len(clips))
        return thumbnails

    def flops(self) -> int:
        """None, as matrix products are counted alone."""
        return 0

    def _shrunk(self, clips: Tensor, side: int) -> Tensor:
        """Slices (B S, 3, side, side) float32 by area."""
        self.check(clips)
        frames = rearrange(clips.float(), "b c (s t) h w -> t (b s) c h w", t=self.frames_of_slice)
        return F.adaptive_avg_pool2d(torch.mean(frames, 0), side)
