"""Readouts that are a bank: heads for each rate and decay of a grid, trained together."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from surgstream.configs.ranges import Range

Rate = Annotated[float, Range(1e-12, 1e3)]
Decay = Annotated[float, Range(0, 1e3)]
Scale = Annotated[float, Range(0.1, 10)]
Width = Annotated[int, Range(1, 8192)]


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The heads of a bank: one for each learning rate and weight decay, all trained together with AdamW.

    Attributes:
        lrs: Peak learning rates, whatever the batch.
        weight_decays: Decoupled weight decays, of all parameters but vectors.
        warmup_epochs: Length of the linear warm-up; then half a cosine down to 0.
    """

    lrs: tuple[Rate, ...] = (3e-3, 1e-3, 3e-4, 1e-4)
    weight_decays: tuple[Decay, ...] = (0.01, 0.1, 0.4, 0.8)
    warmup_epochs: Annotated[float, Range(0, 1e6)] = 0.0


@dataclass(frozen=True, kw_only=True)
class AttentiveConfig:
    """Attentive probes (V-JEPA 2): self-attention over all tokens, then one learned query that attends to them.

    Attributes:
        name: Selects this readout.
        grid: The heads.
        self_blocks: Blocks of self-attention before the block of the query.
        num_heads: Attention heads of each block.
        mlp_ratio: Width of a block's MLP, in widths of a token.
        smoothing: Share of a label that is spread over all classes. Of one class a row alone.
        heads_at_once: Heads of the grid that are computed together; fewer take less memory. null is as many as fit.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("heads_at_once",)

    name: Literal["attentive"] = "attentive"
    grid: GridConfig = field(default_factory=GridConfig)
    self_blocks: Annotated[int, Range(0, 64)] = 3
    num_heads: Annotated[int, Range(1, 256)] = 16
    mlp_ratio: Annotated[float, Range(0.1, 64)] = 4.0
    smoothing: Annotated[float, Range(0, 0.99)] = 0.0
    heads_at_once: Annotated[int, Range(1, 1024)] | None = None


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """Linear probes: the mean of the tokens, batch-normalised without parameters, and a linear layer.

    Attributes:
        name: Selects this readout.
        grid: The heads.
        smoothing: Share of a label that is spread over all classes. Of one class a row alone.
    """

    name: Literal["linear"] = "linear"
    grid: GridConfig = field(
        default_factory=lambda: GridConfig(
            lrs=(0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4), weight_decays=(0.0, 0.01)
        )
    )
    smoothing: Annotated[float, Range(0, 0.99)] = 0.0


def _dense_grid() -> GridConfig:
    return GridConfig(lrs=(1e-2, 1e-3, 1e-4), weight_decays=(1e-3,))


@dataclass(frozen=True, kw_only=True)
class DenseLinearConfig:
    """Masks or depth by one linear layer on each batch-normalised token of the last slice of time (DINOv2).

    Attributes:
        name: Selects this readout.
        grid: The heads.
        image_scales: Each step draws one, and sees pictures at that share of `encoder.image_size`, by the nearest
            multiple of a patch; labels keep their size. What is judged has scale 1. Others need `encoder.interpolate`.
        heads_at_once: Heads of the grid that are computed together; fewer take less memory. null is as many as fit.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("heads_at_once",)

    name: Literal["dense_linear"] = "dense_linear"
    grid: GridConfig = field(default_factory=_dense_grid)
    image_scales: tuple[Scale, ...] = (1.0,)
    heads_at_once: Annotated[int, Range(1, 1024)] | None = None


@dataclass(frozen=True, kw_only=True)
class DenseDptConfig:
    """Masks or depth by convolutions on tokens of four blocks (DPT), of the last slice of time.

    Attributes:
        name: Selects this readout.
        grid: The heads.
        layer_widths: Maps of each block's tokens at the size that they are brought to.
        width: Maps of all of them when they are added.
        image_scales: Each step draws one, and sees pictures at that share of `encoder.image_size`, by the nearest
            multiple of a patch; labels keep their size. What is judged has scale 1. Others need `encoder.interpolate`.
        heads_at_once: Heads of the grid that are computed together; fewer take less memory. null is as many as fit.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("heads_at_once",)

    name: Literal["dense_dpt"] = "dense_dpt"
    grid: GridConfig = field(default_factory=_dense_grid)
    image_scales: tuple[Scale, ...] = (1.0,)
    layer_widths: tuple[Width, Width, Width, Width] = (96, 192, 384, 768)
    width: Width = 256
    heads_at_once: Annotated[int, Range(1, 1024)] | None = None


DenseConfig = DenseLinearConfig | DenseDptConfig
BankConfig = AttentiveConfig | LinearConfig | DenseConfig
"""Readouts that are a bank: heads that are trained together on what the encoder sees."""
