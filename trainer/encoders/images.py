"""Frozen image models, frame by frame."""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.colours import Renormalise
from surgstream.trainer.encoders.identity import identity_of
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.images.timm_images import ImageModel, image_flops


class ImageEncoder(FrozenEncoder):
    """A frozen image model of timm, which sees each frame of a clip by itself.

    Tokens are those of patches, or the places of a convolutional network's last map; class and register tokens are left
    out. They are normed where the model norms before it pools, as ViTs do; ConvNeXt norms after it. A slice is a frame:
    its vector is the model's own pooling, before any classifier. A clip's is their mean.

    Args:
        image_model: The model.
        name: What it is called in tables.
        num_frames: Frames of a clip.

    Raises:
        ModelError: It takes no images of this size, or has no features on a grid.
    """

    def __init__(self, image_model: ImageModel, name: str, num_frames: int) -> None:
        super().__init__()
        self.name = name
        self.num_frames = num_frames
        self.image_size = image_model.image_size
        self.model = image_model.model
        self.pixels = Renormalise(image_model.mean, image_model.std)
        self.requires_grad_(False).eval()

        tokens, pooled, rows = self._tried(name)
        self.grid = Grid(num_frames, rows, tokens.shape[1] // rows)
        self.embed_dim = tokens.shape[2]
        self.pooled_dim = pooled.shape[1]

        blocks = getattr(self.model, "blocks", ())
        if tokens.shape[1] and hasattr(self.model, "patch_embed") and len(blocks) > 1:
            self.num_layers = len(blocks)

        deciding = {
            "kind": "image",
            "model": image_model.name,
            "clip": [num_frames, image_model.image_size],
            "pixels": [list(image_model.mean), list(image_model.std)],
        }
        self.identity = identity_of(deciding, self.model.state_dict())

    def tokens(self, clips: Tensor) -> Tensor:
        """See `FrozenEncoder.tokens`; N is frames x rows x columns."""
        tokens, _ = self._of_patches(self._features(clips))
        by_clip: Tensor = rearrange(tokens, "(b t) n d -> b (t n) d", b=len(clips))
        return by_clip

    def layers(self, clips: Tensor, numbers: Sequence[int]) -> list[Tensor]:
        """See `FrozenEncoder.layers`; of transformers, whose blocks keep the grid."""
        if self.num_layers == 1:
            return super().layers(clips, numbers)

        self.check(clips)
        images = rearrange(self.pixels(clips), "b c t h w -> (b t) c h w")
        found = self.model.forward_intermediates(
            images, indices=list(numbers), norm=True, output_fmt="NLC", intermediates_only=True
        )
        # In the order of blocks, each once
        by_number = dict(zip(sorted({*numbers}), found, strict=True))
        return [
            rearrange(by_number[number], "(b t) n d -> b (t n) d", b=len(clips))
            for number in numbers
        ]

    def slices(self, clips: Tensor) -> Tensor:
        """The model's own pooling of each frame: (B, T, pooled_dim) float32."""
        pooled = self.model.forward_head(self._features(clips), pre_logits=True)
        by_clip: Tensor = rearrange(pooled, "(b t) d -> b t d", b=len(clips))
        return by_clip.float()

    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
        return self.num_frames * image_flops(self.model, self.image_size)

    def _features(self, clips: Tensor) -> Any:
        self.check(clips)
        images = rearrange(self.pixels(clips), "b c t h w -> (b t) c h w")
        return self.model.forward_features(images)

    def _of_patches(self, features: Tensor) -> tuple[Tensor, int]:
        """Tokens (B T, n, D) of patches alone, and the rows that they are in."""
        if features.ndim == 3:
            tokens = features[:, getattr(self.model, "num_prefix_tokens", 0) :]
            patches = getattr(self.model, "patch_embed", None)
            rows = int(getattr(patches, "grid_size", (0, 0))[0])
            return tokens, rows or round(tokens.shape[1] ** 0.5)

        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            features = features.permute(0, 3, 1, 2)
        rows = features.shape[2]
        return features.flatten(2).transpose(1, 2), rows

    @torch.no_grad()
    def _tried(self, name: str) -> tuple[Tensor, Tensor, int]:
        """Tokens, pooled features and rows of one grey image."""
        image = torch.zeros(1, 3, self.image_size, self.image_size)
        try:
            features = self.model.forward_features(image)
            pooled = self.model.forward_head(features, pre_logits=True)
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"encoder.image_size: expected a size that {name} takes, got {self.image_size}: "
                f"{reason}"
            ) from None

        on_grid = isinstance(features, Tensor) and features.ndim in (3, 4)
        tokens, rows = self._of_patches(features) if on_grid else (pooled[None], 0)
        if not rows or tokens.shape[1] % rows or pooled.ndim != 2:
            raise ModelError(f"{name}: expected an image model with features on a grid, got none")
        return tokens, pooled, rows
