"""The frozen image teacher: any ViT of timm, run on one frame of every slice of tokens."""

import logging
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import Grid, TeacherConfig
from surgstream.trainer.models.flops import attention_macs, linear_macs
from surgstream.trainer.models.images.layout import IMAGE_VIT, as_timm, trained_side
from surgstream.trainer.models.images.timm_vit import (
    create_vit,
    fill,
    known_pixels,
    pretrained_weights,
)
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.models.networks import WeightsFile

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Teacher(nn.Module):
    """A frozen image ViT: the patch tokens of its last block, before any final norm, for every token of a clip.

    Args:
        config: The model and its numbers.
        grid: The student's tokens. Where the teacher's patches are of another size, frames are resized so that its
            patches fall on the student's tokens one to one.
        weights: Its weights, as some code names them; timm's random ones when None.

    Raises:
        ModelError: timm has no such model, it is not a ViT, or the weights do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TeacherConfig, grid: Grid, weights: Weights | None = None) -> None:
        super().__init__()
        self.grid = grid
        self.normalise = config.normalise
        self.model = create_vit(config, trained_side(weights or {}))
        if weights is not None:
            fill(self.model, as_timm(weights, self.model), config.model)

        self.patch_size = int(self.model.patch_embed.patch_size[0])
        self.image_size = (grid.rows * self.patch_size, grid.columns * self.patch_size)
        if tuple(self.model.patch_embed.img_size) != self.image_size:
            self.model.set_input_size(img_size=self.image_size)  # resamples the positions
        self.embed_dim = int(self.model.num_features)

        # Last, so that positions are resampled in fp32
        self.dtype = _DTYPES[config.dtype]
        self.model.to(self.dtype)

        mean, std = _pixels(config)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Features of every token.

        Args:
            frames: (B, C, S, H, W), one frame a slice, RGB in [0, 1].

        Returns:
            (B, N, D) without gradient, tokens in (T, H, W) order, of the weights' type or autocast's.
        """
        images = rearrange(frames, "b c s h w -> (b s) c h w")
        if images.shape[-2:] != self.image_size:
            images = F.interpolate(images, self.image_size, mode="bilinear", antialias=True)
        images = ((images - self.mean) / self.std).to(self.dtype)
        # The last block alone, and its tokens of patches alone
        (tokens,) = self.model.forward_intermediates(
            images, indices=1, norm=False, output_fmt="NLC", intermediates_only=True
        )
        features: Tensor = rearrange(tokens, "(b s) n d -> b (s n) d", b=frames.shape[0])
        if not self.normalise:
            return features
        return F.layer_norm(features, (self.embed_dim,))

    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
        num_patches = self.grid.num_tubes
        depth = len(self.model.blocks)
        num_tokens = num_patches + self.model.num_prefix_tokens
        embedding = num_patches * 3 * self.patch_size**2 * self.embed_dim
        linear = linear_macs(self.model.blocks, num_tokens)
        attention = attention_macs(self.embed_dim, depth, num_tokens)
        return 2 * self.grid.slices * (embedding + linear + attention)


def load_teacher(config: TeacherConfig, grid: Grid, seed: int) -> Teacher:
    """Build the teacher of a run, with its weights or, where that is allowed, with random ones.

    Args:
        config: The model and its weights.
        grid: The student's tokens.
        seed: Decides random weights.

    Returns:
        The teacher, on the CPU.

    Raises:
        ModelError: There are no weights and random ones are not allowed, the file cannot be read, or see `Teacher`.
    """
    # timm initialises from the global generator: seed it for that alone, and put it back.
    with torch.random.fork_rng(devices=[]):
        weights = _weights(config)
        if weights is None:
            log.info("teacher %s has random weights: its features mean nothing", config.model)
        torch.default_generator.manual_seed(seed)

        try:
            return Teacher(config, grid, weights)
        except ModelError as error:
            source = f"teacher.weights: {config.weights}: " if config.weights else ""
            raise ModelError(f"{source}{error}") from None


def _weights(config: TeacherConfig) -> Weights | None:
    """The weights that a recipe names, by the names of their own code; None where it wants random ones."""
    if config.weights is not None:
        file = WeightsFile(Path(config.weights), "teacher", config.prefix)
        try:
            return file.network(IMAGE_VIT.anchor, "an image ViT", averaged=True).weights
        except ModelError as error:
            raise ModelError(f"teacher.weights: {config.weights}: {error}") from None

    if config.pretrained:
        return pretrained_weights(config.model)
    if config.allow_random:
        return None

    raise ModelError(
        f"teacher {config.model}: expected a file of weights, got none; set teacher.weights to "
        "one, teacher.pretrained to true for timm's own, or teacher.allow_random to true to train "
        "against random features"
    )


def _pixels(config: TeacherConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels: those given, else those of the weights of timm that are named, else ImageNet's."""
    named = known_pixels(config.model) if config.pretrained or "." in config.model else None
    usual = named or (IMAGENET_MEAN, IMAGENET_STD)
    given = (config.mean or usual[0], config.std or usual[1])
    if given != usual and named:
        message = "teacher.mean and teacher.std are %s, %s was trained with %s"
        log.warning(message, given, config.model, named)
    return given
