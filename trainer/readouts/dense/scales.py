"""The frozen encoder at several sizes of picture, of which each step of a training draws one (PraNet)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from surgstream.shards.keyed_random import Purpose, hash64
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.readouts.bank_config import DenseConfig
from surgstream.trainer.readouts.config import ProbeRecipe


class Scales:
    """Draws a size for each step.

    Args:
        encoders: The encoder, for each size in the order of the recipe's scales.
        seed: With the number of a step it decides the draw: all ranks and micro-batches of a step have the same, and a
            resumed run what it would have had.
    """

    def __init__(self, encoders: Sequence[FrozenEncoder], seed: int) -> None:
        self.encoders = tuple(encoders)
        self._seed = seed

    @property
    def largest(self) -> FrozenEncoder:
        """The encoder of the largest pictures, which takes most memory."""
        return max(self.encoders, key=lambda encoder: encoder.image_size)

    def of_step(self, step: int) -> FrozenEncoder:
        """The encoder of a step."""
        if len(self.encoders) == 1:
            return self.encoders[0]
        drawn = hash64(self._seed, Purpose.IMAGE_SCALE, step).item() % len(self.encoders)
        return self.encoders[drawn]

    def flops(self) -> int:
        """Floating point operations of the encoder's forward pass of one clip, on average."""
        return sum(encoder.flops() for encoder in self.encoders) // len(self.encoders)


def scales_of(recipe: ProbeRecipe, encoder: FrozenEncoder) -> Scales:
    """The encoder at the scales of a recipe; alone, where the readout is not dense.

    Args:
        recipe: The probe.
        encoder: Its encoder, on the device, for pictures of scale 1.

    Raises:
        ModelError: It takes no pictures of one of these sizes.
        CheckpointError: It cannot be read once more.
    """
    if not isinstance(recipe.readout, DenseConfig):
        return Scales([encoder], recipe.seed)
    sizes = [size_at(encoder, scale) for scale in recipe.readout.image_scales]
    return Scales([_at(size, recipe, encoder) for size in sizes], recipe.seed)


def size_at(encoder: FrozenEncoder, scale: float) -> int:
    """The side of pictures at a scale: the nearest multiple of a patch, of two as near the even one, at least one."""
    patch = encoder.image_size / encoder.grid.rows
    return round(patch * max(1, round(encoder.image_size * scale / patch)))


def to_size_of(encoder: FrozenEncoder, clips: Tensor) -> Tensor:
    """Clips (B, 3, T, H, W) at the size that an encoder takes, bilinearly and with antialiasing."""
    size = (encoder.image_size, encoder.image_size)
    if clips.shape[-2:] == size:
        return clips
    images = rearrange(clips, "b c t h w -> (b t) c h w")
    resized = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    found: Tensor = rearrange(resized, "(b t) c h w -> b c t h w", b=len(clips))
    return found


def _at(size: int, recipe: ProbeRecipe, encoder: FrozenEncoder) -> FrozenEncoder:
    """An encoder for pictures of another size, with the same weights in the same memory."""
    if size == encoder.image_size:
        return encoder

    settings = replace(recipe.encoder, image_size=size)
    found = load_frozen(recipe.weights, settings, recipe.seed)
    _share(found, encoder)
    return found.to(next(encoder.parameters(), torch.empty(0)).device)


def _share(encoder: FrozenEncoder, other: FrozenEncoder) -> None:
    """Take the weights of another size; positions that are weights have another shape there, and stay."""
    weights = dict(other.named_parameters())
    for name, parameter in encoder.named_parameters():
        if parameter.shape == weights[name].shape:
            parameter.data = weights[name].data
