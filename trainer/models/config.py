"""The networks' numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Grid(NamedTuple):
    """How many tokens a clip has along each axis."""

    slices: int
    rows: int
    columns: int

    @property
    def num_tubes(self) -> int:
        """Tokens of one slice: a tube is one such position through all slices."""
        return self.rows * self.columns

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip, N."""
        return self.slices * self.num_tubes


class Shape(NamedTuple):
    """Width, depth and heads of a transformer."""

    embed_dim: int
    depth: int
    num_heads: int

    def problems(self) -> Iterator[str]:
        """What is wrong with these numbers, one sentence each."""
        if min(self) < 1:
            yield f"embed_dim, depth and num_heads: expected whole numbers of at least 1, got {tuple(self)}"
        elif self.embed_dim % self.num_heads:
            yield f"embed_dim: expected a multiple of num_heads ({self.num_heads}), got {self.embed_dim}"
        if self.embed_dim % 16:
            yield f"embed_dim: expected a multiple of 16 (positions on three axes need it), got {self.embed_dim}"


SIZES = {
    "small": Shape(384, 12, 6),
    "base": Shape(768, 12, 12),
    "large": Shape(1024, 24, 16),
    "huge": Shape(1280, 32, 16),
}


Positions = Literal["sincos", "sinusoid", "rope"]
"""Positions: fixed, of all three axes (MVD, SurgVISTA) or of the tokens' numbers (VideoMAE), or rotary (V-JEPA 2)."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The video encoder.

    Attributes:
        size: A ViT's usual numbers: small 384/12/6, base 768/12/12, large 1024/24/16, huge 1280/32/16.
        embed_dim: Width, instead of the size's.
        depth: Number of blocks, instead of the size's.
        num_heads: Attention heads, instead of the size's.
        image_size: Height and width of a clip in pixels.
        num_frames: Frames of a clip.
        patch_size: Height and width of a tubelet in pixels.
        tubelet_size: Frames of a tubelet.
        positions: `sincos` of time, row and column (SurgVISTA), `sinusoid` of the token's number (VideoMAE), or `rope`,
            rotary on three axes (V-JEPA 2).
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    size: Literal["small", "base", "large", "huge"] = "base"
    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    image_size: int = 224
    num_frames: int = 16
    patch_size: int = 16
    tubelet_size: int = 2
    positions: Positions = "sincos"
    drop_path: float = 0.1
    activation_checkpointing: bool = False

    @property
    def shape(self) -> Shape:
        """The size's numbers, with those given here in their place."""
        given = {"embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads}
        return SIZES[self.size]._replace(**{name: n for name, n in given.items() if n is not None})

    @property
    def grid(self) -> Grid:
        """Tokens of a clip along each axis."""
        side = self.image_size // self.patch_size
        return Grid(self.num_frames // self.tubelet_size, side, side)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        if self.positions == "rope":
            yield from rotary_problems(self.shape)
        yield from drop_path_problems(self.drop_path)
        for whole, part in (("image_size", "patch_size"), ("num_frames", "tubelet_size")):
            total, step = getattr(self, whole), getattr(self, part)
            if step < 1 or total < 1 or total % step:
                yield f"{whole}: expected a multiple of {part} ({step}), got {total}"


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """One decoder.

    Attributes:
        depth: Number of blocks.
        embed_dim: Width.
        num_heads: Attention heads.
        positions: As the encoder's.
        projection_bias: Whether the projection from the encoder's width has a bias.
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    depth: int
    embed_dim: int = 384
    num_heads: int = 6
    positions: Positions = "sincos"
    projection_bias: bool = True
    drop_path: float = 0.1
    activation_checkpointing: bool = False

    @property
    def shape(self) -> Shape:
        """Width, depth and heads together."""
        return Shape(self.embed_dim, self.depth, self.num_heads)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        yield from drop_path_problems(self.drop_path)


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """V-JEPA's predictor.

    Attributes:
        depth: Number of blocks.
        embed_dim: Width.
        num_heads: Attention heads.
        num_mask_tokens: Mask tokens, one for each kind of mask, by turns where there are fewer.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    depth: int = 12
    embed_dim: int = 384
    num_heads: int = 12
    num_mask_tokens: int = 2
    activation_checkpointing: bool = False

    @property
    def shape(self) -> Shape:
        """Width, depth and heads together."""
        return Shape(self.embed_dim, self.depth, self.num_heads)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        yield from rotary_problems(self.shape)
        if self.num_mask_tokens < 1:
            yield f"num_mask_tokens: expected 1 or more, got {self.num_mask_tokens}"


def rotary_problems(shape: Shape) -> Iterator[str]:
    """What is wrong with heads whose channels are turned in pairs, on three axes."""
    if shape.num_heads > 0 and (shape.embed_dim // shape.num_heads % 2 or shape.embed_dim // shape.num_heads < 6):
        width = shape.embed_dim // shape.num_heads
        yield f"num_heads: expected heads of an even width of 6 or more, for rotary positions, got a width of {width}"


Transformer = EncoderConfig | DecoderConfig | PredictorConfig
"""A network with a `shape` and, perhaps, `activation_checkpointing`."""


def drop_path_problems(rate: float) -> Iterator[str]:
    """What is wrong with a rate of stochastic depth."""
    if not 0.0 <= rate < 1.0:
        yield f"drop_path: expected a rate of at least 0 and below 1, got {rate}"


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The image teacher.

    Attributes:
        model: Name of a ViT in timm, such as vit_large_patch16_224.
        weights: Its weights, a .pth, .pt or .safetensors file.
        allow_random: Train against a random teacher when no weights are given; for tests and demonstrations.
        image_size: Image size of the weights in pixels, when it is not the model's own; from there, positions are
            resampled to the size of the clips.
        mean: Per channel, what the teacher's own training subtracted from pixels in [0, 1]; ImageNet's by default.
        std: Per channel, what it then divided by.
        normalise: Pass the features through a LayerNorm without parameters.
    """

    model: str = "vit_large_patch16_224"
    weights: str | None = None
    allow_random: bool = False
    image_size: int | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    normalise: bool = False

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0.0:
            yield f"mean and std: expected three numbers each, std above 0, got {self.mean} and {self.std}"
