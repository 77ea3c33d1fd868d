"""The architecture of a video transformer, read off the names and shapes of its weights."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import ROTARY, SIZES, EncoderConfig, Grid, Positions
from surgstream.trainer.models.embed import sincos_positions

_BLOCK = re.compile(r"(?:encoder\.)?(?:blocks|layer)\.(\d+)\.")
_WIDENING = re.compile(
    r"(?:encoder\.)?(?:blocks|layer)\.\d+\.(?:mlp\.fc1|intermediate\.dense)\.weight"
)

# Heads of the usual sizes. V-JEPA 2's giant, with rotary positions, has more than VideoMAE V2's.
_HEADS = {(shape.embed_dim, shape.depth): shape.num_heads for shape in SIZES.values()}
_ROTARY_HEADS = _HEADS | {(SIZES["giant"].embed_dim, SIZES["giant"].depth): 22}

# Frames and pixels of the clips that the published weights were trained with.
_CLIPS: Mapping[Positions, tuple[int, int]] = {
    "sincos": (16, 224),
    "sinusoid": (16, 224),
    "rope": (64, 256),
    "rope_scaled": (64, 384),
}
_TOLERANCE = 1e-2  # of positions that were stored in half precision


def shape_of(
    weights: Mapping[str, Tensor],
    positions: Positions,
    *,
    anchor: str,
    given: EncoderConfig | None,
    where: str = "encoder.shape",
) -> EncoderConfig:
    """Find an encoder's numbers.

    Width, depth, patches and tubelets are those of its tensors. Attention heads leave no trace there: they are those of
    the usual sizes. Frames and pixels are those of the family's published weights, unless the file has `sincos`
    positions, which are of one grid alone.

    Args:
        weights: The encoder's, by the names of one of the layouts of published weights.
        positions: The kind of its positions.
        anchor: The name of the weight that embeds tubelets.
        given: Numbers that are known, which must agree with the tensors; None takes those found.
        where: Where they are from, for messages.

    Raises:
        ModelError: The tensors are those of no such encoder, heads are not known, or the given numbers are others.
    """
    found = _tensors(weights, positions, anchor)
    stored = weights.get("pos_embed") if positions == "sincos" else None
    grid = None if stored is None else _grid_of(stored, found.embed_dim)
    if given is not None:
        for name in ("embed_dim", "depth", "patch_size", "tubelet_size"):
            number = getattr(given.shape if name in ("embed_dim", "depth") else given, name)
            if number != getattr(found, name):
                raise ModelError(
                    f"{where}: {name}: expected {getattr(found, name)}, as these weights have it, "
                    f"got {number}"
                )
        return _numbers(found, given.shape.num_heads, given.num_frames, given.image_size)

    usual = _ROTARY_HEADS if positions in ROTARY else _HEADS
    num_heads = usual.get((found.embed_dim, found.depth))
    if num_heads is None:
        raise ModelError(
            f"expected an encoder of a usual size, got one {found.embed_dim} wide with "
            f"{found.depth} blocks, and weights do not tell their attention heads; set {where} to "
            f"{{embed_dim: {found.embed_dim}, depth: {found.depth}, num_heads: ..., patch_size: "
            f"{found.patch_size}, tubelet_size: {found.tubelet_size}}}"
        )

    num_frames, image_size = _CLIPS[positions]
    if grid is not None:
        num_frames = grid.slices * found.tubelet_size
        image_size = grid.rows * found.patch_size
    return _numbers(found, num_heads, num_frames, image_size)


class _Tensors(NamedTuple):
    """What the tensors of an encoder say of it."""

    embed_dim: int
    depth: int
    mlp_dim: int
    patch_size: int
    tubelet_size: int
    positions: Positions


def _tensors(weights: Mapping[str, Tensor], positions: Positions, anchor: str) -> _Tensors:
    # The convolution that embeds tubelets
    shape = tuple(weights[anchor].shape)
    if len(shape) != 5 or shape[1] != 3 or shape[3] != shape[4] or 0 in shape:
        raise ModelError(
            f"{anchor}: expected the axes (D, 3, t, p, p) of tubelets with square patches, got the "
            f"shape {shape}"
        )

    widths = []
    for name, tensor in weights.items():
        if _WIDENING.fullmatch(name) and tensor.ndim == 2:
            widths.append(tensor.shape[0])
    if not widths:
        raise ModelError("expected blocks with MLPs, got none")

    blocks = {found[1] for name in weights if (found := _BLOCK.match(name))}
    return _Tensors(shape[0], len(blocks), widths[0], shape[3], shape[2], positions)


def _numbers(found: _Tensors, num_heads: int, num_frames: int, image_size: int) -> EncoderConfig:
    """An encoder's numbers, of a size whose MLPs are as wide as its own.

    Raises:
        ModelError: No size has such MLPs, or the numbers do not fit together.
    """
    tried = EncoderConfig(
        embed_dim=found.embed_dim,
        depth=found.depth,
        num_heads=num_heads,
        image_size=image_size,
        num_frames=num_frames,
        patch_size=found.patch_size,
        tubelet_size=found.tubelet_size,
        positions=found.positions,
        drop_path=0.0,
    )
    sizes = (tried, replace(tried, size="giant"), replace(tried, size="gigantic"))
    numbers = next((one for one in sizes if one.shape.mlp_dim == found.mlp_dim), None)

    if numbers is None:
        raise ModelError(
            f"expected MLPs 4, 48/11 or 64/13 times as wide as the encoder, {found.embed_dim}, got "
            f"{found.mlp_dim}"
        )
    if problems := list(numbers.problems()):
        raise ModelError("; ".join(problems))
    return numbers


def _grid_of(positions: Tensor, embed_dim: int) -> Grid:
    """The grid that positions of time, row and column are of.

    Raises:
        ModelError: They are of none.
    """
    if positions.ndim == 3 and positions.shape[0] == 1 and positions.shape[2] == embed_dim:
        given = positions[0].float()
        # The first quarter of the width is time's, which is one number within a slice.
        of_time = given[:, : embed_dim // 4]
        is_later = (of_time - of_time[:1]).abs().amax(1) > _TOLERANCE
        num_tubes = int(is_later.int().argmax()) if is_later.any() else len(given)

        side = math.isqrt(num_tubes)
        grid = Grid(len(given) // max(1, num_tubes), side, side)
        if grid.num_tokens == len(given) > 0:
            expected = sincos_positions(embed_dim, grid)
            if torch.allclose(given, expected, rtol=0, atol=_TOLERANCE):
                return grid

    raise ModelError(
        "pos_embed: expected fixed positions of time, row and column, got others, of the shape "
        f"{tuple(positions.shape)}"
    )
