"""Masks of tokens and dropped residual branches: pure functions of (seed, draw), computed on the host."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from surgstream.configs.ranges import Range
from surgstream.shards.keyed_random import Purpose, choice, hash64, uniform
from surgstream.trainer.models.config import EncoderConfig, Grid

Int64 = npt.NDArray[np.int64]


def num_masked_tubes(grid: Grid, mask_ratio: float) -> int:
    """Tubes of a clip that are masked: the ratio of all, rounded down."""
    return int(mask_ratio * grid.num_tubes)


def mask_problems(grid: Grid, mask_ratio: float) -> Iterator[str]:
    """Yield what is wrong with a share of tubes to mask."""
    if not 0 < num_masked_tubes(grid, mask_ratio) < grid.num_tubes:
        yield (
            f"mask_ratio: expected some of a slice's {grid.num_tubes} tokens masked and some "
            f"visible, got {mask_ratio}"
        )


def tube_mask(grid: Grid, mask_ratio: float, seed: int, draws: Int64) -> tuple[Int64, Int64]:
    """Hide the same positions in every slice of a clip.

    Args:
        grid: The clips' grid of tokens.
        mask_ratio: Share of tubes to hide.
        seed: The run's seed.
        draws: (B,) draw numbers.

    Returns:
        Indices of the visible (B, V) and of the masked tokens (B, M), each in ascending order; V + M is N.
    """
    num_masked = num_masked_tubes(grid, mask_ratio)
    order = choice(hash64(seed, Purpose.MASK, draws), grid.num_tubes)
    visible = _through_time(grid, order[:, num_masked:])
    masked = _through_time(grid, order[:, :num_masked])
    return visible, masked


def _through_time(grid: Grid, tubes: Int64) -> Int64:
    """The tokens (B, slices K) of tubes (B, K), in ascending order."""
    # (slices, 1): the number of each slice's first token
    starts = np.arange(grid.slices)[:, None] * grid.num_tubes
    return (starts + np.sort(tubes)[:, None, :]).reshape(len(tubes), -1)


@dataclass(frozen=True, kw_only=True)
class BlockMask:
    """Blocks of tokens that are masked in every slice: one kind of mask of V-JEPA.

    Attributes:
        num_blocks: Blocks of a clip; they may overlap.
        scale: Share of a slice that a block covers.
        aspect: Least and most height over width of a block.
    """

    num_blocks: Annotated[int, Range(1, 32)]
    scale: Annotated[float, Range(0.001, 0.999)]
    aspect: tuple[Annotated[float, Range(0.01, 100)], ...] = (0.75, 1.5)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these numbers, one sentence each."""
        if len(self.aspect) != 2 or self.aspect[0] > self.aspect[1]:
            yield f"aspect: expected two numbers, the lesser first, got {list(self.aspect)}"


def block_mask(
    grid: Grid, blocks: BlockMask, seed: int, kind: int, draws: Int64
) -> tuple[Int64, Int64]:
    """Hide the union of some blocks, the same in every slice of a clip.

    One size of block, never a whole slice, is drawn for the micro-batch, and places for each clip. A clip without any
    visible token draws its places again, after 16 times with one block less each time. Then all clips are cut to the
    fewest visible and the fewest masked tokens of any clip: the last tokens are dropped, as in the released code.

    Args:
        grid: The clips' grid of tokens.
        blocks: The kind of mask.
        seed: The run's seed.
        kind: Number of the kind within its objective; each has draws of its own.
        draws: (B,) draw numbers of a micro-batch.

    Returns:
        Indices of the visible (B, V) and of the masked tokens (B, M), each in ascending order; V + M is at most N.
    """
    height, width = _block_size(grid, blocks, seed, kind, draws)

    # All is hidden to begin with, so that every clip draws its places at least once
    hidden = np.ones((len(draws), grid.rows, grid.columns), bool)
    attempt = 0
    while (all_hidden := hidden.all(axis=(1, 2))).any():
        key = hash64(seed, Purpose.BLOCKS, kind, attempt, draws[all_hidden])
        # One block alone leaves something visible
        num_blocks = max(1, blocks.num_blocks - max(0, attempt - 16))
        hidden[all_hidden] = _covered(grid, uniform(key, 2 * num_blocks), height, width)
        attempt += 1

    return _indices(grid, ~hidden), _indices(grid, hidden)


def _block_size(
    grid: Grid, blocks: BlockMask, seed: int, kind: int, draws: Int64
) -> tuple[int, int]:
    """Draw the height and the width of a micro-batch's blocks; see `block_mask`."""
    low, high = blocks.aspect
    # The least draw number stands for the micro-batch
    key = hash64(seed, Purpose.BLOCK_SIZE, kind, draws.min(keepdims=True))
    aspect = low + (high - low) * uniform(key, 1)[0, 0]

    area = max(1, int(blocks.scale * grid.num_tubes))
    height = int(np.clip(round(np.sqrt(area * aspect)), 1, grid.rows))
    # A block over all rows leaves out a column, so that something can be visible
    widest = grid.columns if height < grid.rows else grid.columns - 1
    width = int(np.clip(round(np.sqrt(area / aspect)), 1, widest))
    return height, width


def _covered(
    grid: Grid, places: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.bool_]:
    """The cells (B, rows, columns) that blocks cover; their corners are shares (B, 2 num_blocks) of the free room."""
    down, across = np.split(places, 2, axis=1)
    tops = (down * (grid.rows - height + 1)).astype(np.int64)
    lefts = (across * (grid.columns - width + 1)).astype(np.int64)

    # (B, num_blocks, rows) and (B, num_blocks, columns)
    in_rows = _within(tops, height, grid.rows)
    in_columns = _within(lefts, width, grid.columns)
    covered = np.any(in_rows[..., :, None] & in_columns[..., None, :], axis=1)
    return np.asarray(covered, bool)


def _within(starts: Int64, length: int, size: int) -> npt.NDArray[np.bool_]:
    """Whether each of `size` places (..., size) lies in a stretch of a length that begins at `starts` (...)."""
    places = np.arange(size)
    starts = starts[..., None]
    return (starts <= places) & (places < starts + length)


def _indices(grid: Grid, tubes: npt.NDArray[np.bool_]) -> Int64:
    """The tokens of the tubes (B, rows, columns) that are True, cut to the fewest of any clip."""
    flat = tubes.reshape(len(tubes), -1)
    fewest = flat.sum(axis=1).min() * grid.slices
    tokens = np.tile(flat, (1, grid.slices))
    return np.stack([np.flatnonzero(clip)[:fewest] for clip in tokens])


def step_mask_ratio(low: float, high: float, seed: int, step_draw: int) -> float:
    """Draw a step's share of masked tubes, uniform in [low, high), alike on all ranks.

    Args:
        low: The least share.
        high: The most.
        seed: The run's seed.
        step_draw: First draw of the step.
    """
    key = hash64(seed, Purpose.MASK_RATIO, step_draw)
    return low + (high - low) * float(uniform(key, 1)[0])


def draw_drop_path_scales(
    rate: float, depth: int, seed: int, network: int, draws: Int64
) -> npt.NDArray[np.float32]:
    """Stochastic depth: the factor of each residual branch of each block, for each clip.

    Both branches of block i of `depth` are dropped at the rate p = rate i / (depth - 1), each by a draw of its own;
    what is kept is scaled by 1 / (1 - p), so that its expectation is that of the whole network.

    Args:
        rate: The drop rate of the last block.
        depth: Number of blocks.
        seed: The run's seed.
        network: Number of the network within its objective; each has draws of its own.
        draws: (B,) draw numbers.

    Returns:
        (B, depth, 2), 0 where a branch is dropped; of a block, the attention comes first, then the MLP.
    """
    rates = np.linspace(0.0, rate, depth)[:, None]
    key = hash64(seed, Purpose.DROP_PATH, network, draws)
    uniforms = uniform(key, 2 * depth).reshape(len(draws), depth, 2)
    return ((uniforms >= rates) / (1.0 - rates)).astype(np.float32)


def draw_dropout_scales(
    rate: float, width: int, seed: int, draws: Int64
) -> npt.NDArray[np.float32]:
    """Dropout: the factor of each feature of each clip, 0 at the rate given, else 1 / (1 - rate).

    Args:
        rate: The share that is dropped, below 1.
        width: Features of a clip, D.
        seed: The run's seed.
        draws: (B,) draw numbers.

    Returns:
        (B, D).
    """
    uniforms = uniform(hash64(seed, Purpose.DROPOUT, draws), width)
    return ((uniforms >= rate) / (1.0 - rate)).astype(np.float32)


def jepa_problems(encoder: EncoderConfig) -> Iterator[str]:
    """Yield what does not fit an objective with an encoder and a predictor of features."""
    if not encoder.is_rotary:
        yield (
            "encoder.positions: expected rope or rope_scaled, which the predictor shares, got "
            f"{encoder.positions}"
        )
    if encoder.drop_path:
        yield (
            f"encoder.drop_path: expected 0, this objective drops nothing, got {encoder.drop_path}"
        )
    if encoder.grid.num_tubes < 2:
        yield (
            "encoder.patch_size: expected two tokens or more in a slice, one to see and one to "
            "predict, got one"
        )
