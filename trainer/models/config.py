"""The networks' numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from surgstream.configs.places import Folder
from surgstream.configs.ranges import Range


class Grid(NamedTuple):
    """The number of tokens of a clip along each axis."""

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


class TransformerShape(NamedTuple):
    """Width, depth and heads of a transformer, and how many times as wide its MLPs are."""

    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0

    @property
    def mlp_dim(self) -> int:
        """Width of an MLP's hidden layer."""
        return round(self.mlp_ratio * self.embed_dim)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these numbers, one sentence each."""
        if self.embed_dim % self.num_heads:
            yield (
                f"embed_dim: expected a multiple of num_heads ({self.num_heads}), got "
                f"{self.embed_dim}"
            )
        if self.embed_dim % 16:
            yield (
                "embed_dim: expected a multiple of 16 (positions on three axes need it), got "
                f"{self.embed_dim}"
            )


SIZES = {
    "small": TransformerShape(384, 12, 6),
    "base": TransformerShape(768, 12, 12),
    "large": TransformerShape(1024, 24, 16),
    "huge": TransformerShape(1280, 32, 16),
    "giant": TransformerShape(1408, 40, 16, 48 / 11),
    "gigantic": TransformerShape(1664, 48, 26, 64 / 13),
}


MAX_TOKENS = 2**16
"""The most tokens of a clip: three times those of 64 frames of 384x384."""

MAX_PIXELS = 4096
"""The most pixels along a side of an image."""

Positions = Literal["sincos", "sinusoid", "rope", "rope_scaled"]
"""Positions: fixed, of all three axes (MVD, SurgVISTA) or of the tokens' numbers (VideoMAE), or rotary (V-JEPA 2), with
rows and columns scaled to those of 256 pixels (V-JEPA 2.1)."""

ROTARY: tuple[Positions, ...] = ("rope", "rope_scaled")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The video encoder.

    Attributes:
        size: A ViT's usual numbers: small 384/12/6, base 768/12/12, large 1024/24/16, huge 1280/32/16, giant
            1408/40/16 with MLPs 6144 wide, gigantic 1664/48/26 with MLPs 8192 wide. V-JEPA 2's giant has 22 heads.
        embed_dim: Width, instead of the size's.
        depth: Number of blocks, instead of the size's.
        num_heads: Attention heads, instead of the size's.
        image_size: Height and width of a clip in pixels.
        num_frames: Frames of a clip.
        patch_size: Height and width of a tubelet in pixels.
        tubelet_size: Frames of a tubelet.
        positions: `sincos` of time, row and column (SurgVISTA), `sinusoid` of the token's number (VideoMAE), or `rope`,
            rotary on three axes (V-JEPA 2), or `rope_scaled`, which scales those of space (V-JEPA 2.1).
        levels: Blocks, counted from 1 to the last, that a predictor learns from, each with a norm of its own (V-JEPA
            2.1); empty is the last one alone.
        images: Give still images a tokenizer of their own, of single frames, and both images and clips an embedding of
            what they are (V-JEPA 2.1). Without it, an image is a clip of the same picture over and over.
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    size: Literal["small", "base", "large", "huge", "giant", "gigantic"] = "base"
    embed_dim: Annotated[int, Range(16, 2**14)] | None = None
    depth: Annotated[int, Range(1, 128)] | None = None
    num_heads: Annotated[int, Range(1, 256)] | None = None
    image_size: Annotated[int, Range(1, MAX_PIXELS)] = 224
    num_frames: Annotated[int, Range(1, 4096)] = 16
    patch_size: Annotated[int, Range(1, 4096)] = 16
    tubelet_size: Annotated[int, Range(1, 4096)] = 2
    positions: Positions = "sincos"
    levels: tuple[Annotated[int, Range(1, 128)], ...] = ()
    images: bool = False
    drop_path: Annotated[float, Range(0, 0.99)] = 0.1
    activation_checkpointing: bool = False

    @property
    def shape(self) -> TransformerShape:
        """The size's numbers, with those given here in their place."""
        given = {"embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads}
        replaced = {name: number for name, number in given.items() if number is not None}
        return SIZES[self.size]._replace(**replaced)

    @property
    def num_levels(self) -> int:
        """Blocks that a predictor learns from."""
        return len(self.levels) or 1

    @property
    def is_rotary(self) -> bool:
        """Whether attention adds the positions."""
        return self.positions in ROTARY

    @property
    def grid(self) -> Grid:
        """Tokens of a clip along each axis."""
        side = self.image_size // self.patch_size
        return Grid(self.num_frames // self.tubelet_size, side, side)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        if self.is_rotary:
            yield from rotary_problems(self.shape)
        depth = self.shape.depth
        if self.levels and (self.levels[-1] != depth or sorted({*self.levels}) != [*self.levels]):
            yield (
                f"levels: expected blocks in ascending order, the last one ({depth}) among them, got "
                f"{list(self.levels)}"
            )
        if self.images and self.num_frames < 2:
            yield (
                "num_frames: expected two or more with images, which are told by having one, got "
                f"{self.num_frames}"
            )
        for whole, part in (("image_size", "patch_size"), ("num_frames", "tubelet_size")):
            total = getattr(self, whole)
            step = getattr(self, part)
            if total % step:
                yield f"{whole}: expected a multiple of {part} ({step}), got {total}"
        if self.grid.num_tokens > MAX_TOKENS:
            yield (
                f"patch_size: expected at most {MAX_TOKENS} tokens of a clip, got "
                f"{self.grid.num_tokens}"
            )


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """One decoder.

    Attributes:
        depth: Number of blocks.
        embed_dim: Width.
        num_heads: Attention heads.
        positions: The kind of positions, as for the encoder; `rope_scaled` is of encoders alone.
        projection_bias: Whether the projection from the encoder's width has a bias.
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.
        activation_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    depth: Annotated[int, Range(1, 128)]
    embed_dim: Annotated[int, Range(16, 2**14)] = 384
    num_heads: Annotated[int, Range(1, 256)] = 6
    positions: Positions = "sincos"
    projection_bias: bool = True
    drop_path: Annotated[float, Range(0, 0.99)] = 0.1
    activation_checkpointing: bool = False

    @property
    def shape(self) -> TransformerShape:
        """Width, depth and heads together."""
        return TransformerShape(self.embed_dim, self.depth, self.num_heads)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        if self.positions == "rope":
            yield from rotary_problems(self.shape)
        if self.positions == "rope_scaled":
            yield "positions: expected rope, sincos or sinusoid, got rope_scaled, of encoders alone"


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

    depth: Annotated[int, Range(1, 128)] = 12
    embed_dim: Annotated[int, Range(16, 2**14)] = 384
    num_heads: Annotated[int, Range(1, 256)] = 12
    num_mask_tokens: Annotated[int, Range(1, 64)] = 2
    activation_checkpointing: bool = False

    @property
    def shape(self) -> TransformerShape:
        """Width, depth and heads together."""
        return TransformerShape(self.embed_dim, self.depth, self.num_heads)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from self.shape.problems()
        yield from rotary_problems(self.shape)


def rotary_problems(shape: TransformerShape) -> Iterator[str]:
    """Yield what is wrong with heads whose channels are rotated in pairs, on three axes."""
    width = shape.embed_dim // shape.num_heads
    if width % 2 or width < 6:
        yield (
            "num_heads: expected heads of an even width of 6 or more, for rotary positions, got a "
            f"width of {width}"
        )


Transformer = EncoderConfig | DecoderConfig | PredictorConfig
"""A network with a `shape` and, perhaps, `activation_checkpointing`."""


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The image teacher.

    Attributes:
        model: Name of a ViT in timm, such as `vit_large_patch16_224`, or of weights of one that timm knows, such as
            `vit_base_patch14_dinov2.lvd142m`.
        weights: Its weights, a .pth, .pt or .safetensors file.
        prefix: The beginning of the names of its weights there, or the first words of it, where the file holds
            several networks: `student.backbone`. Null finds it, and takes an average where there is one.
        pretrained: Take timm's own weights of the model, from its cache or the network.
        allow_random: Train against a random teacher when no weights are given; for tests and demonstrations.
        image_size: Image size in pixels that the weights were trained at. Null is what their positions say, else the
            model's own; from there, positions are resampled to the size of the clips.
        mean: Per channel, what the teacher's own training subtracted from pixels in [0, 1]. Null is what timm says of
            the weights where they are its own or named in `model`, else ImageNet's.
        std: Per channel, what it then divided by; null as there.
        norm_eps: Epsilon of its LayerNorms; null is the model's own in timm.
        normalise: Pass the features through a LayerNorm without parameters.
        dtype: Type of its weights. With `fp32` it computes in the student's precision; with `bf16`, in half the memory,
            in bf16 from the pixels to the features.
        known_as: Whose weights those of the file are; see `warm_start.known_as`.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("known_as",)

    model: str = "vit_large_patch16_224"
    weights: Folder | None = None
    prefix: str | None = None
    pretrained: bool = False
    allow_random: bool = False
    image_size: Annotated[int, Range(1, MAX_PIXELS)] | None = None
    mean: tuple[Annotated[float, Range(-1e3, 1e3)], ...] | None = None
    std: tuple[Annotated[float, Range(1e-6, 1e3)], ...] | None = None
    norm_eps: Annotated[float, Range(1e-12, 1)] | None = None
    normalise: bool = False
    dtype: Literal["fp32", "bf16"] = "fp32"
    known_as: str | None = None

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if any(values is not None and len(values) != 3 for values in (self.mean, self.std)):
            yield f"mean and std: expected three numbers each, got {self.mean} and {self.std}"
        if self.pretrained and self.weights is not None:
            yield f"pretrained: expected false where weights are given, got true and {self.weights}"
        if self.prefix is not None and self.weights is None:
            yield (
                f"prefix: expected a file of weights that it is about, got {self.prefix!r} and no "
                "weights"
            )
