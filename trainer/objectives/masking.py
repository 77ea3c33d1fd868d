"""Which tokens are hidden and which residual branches dropped: pure functions of (seed, g), computed on the host."""

import numpy as np
import numpy.typing as npt

from shards.keyed import Purpose, choice, hash64, uniform
from trainer.models.config import Grid

Int64 = npt.NDArray[np.int64]


def num_masked_tubes(grid: Grid, mask_ratio: float) -> int:
    """Tubes of a clip that are masked: the ratio of all, rounded down."""
    return int(mask_ratio * grid.num_tubes)


def tube_mask(grid: Grid, mask_ratio: float, seed: int, g: Int64) -> tuple[Int64, Int64]:
    """Hide the same positions in every slice of a clip.

    Args:
        grid: Of the clips.
        mask_ratio: Share of tubes to hide.
        seed: Of the run.
        g: (B,) draw numbers.

    Returns:
        Indices of the visible (B, V) and of the masked tokens (B, M), each in ascending order; V + M is N.
    """
    num_masked = num_masked_tubes(grid, mask_ratio)
    order = choice(hash64(seed, Purpose.MASK, g), grid.num_tubes)
    starts = np.arange(grid.slices)[:, None] * grid.num_tubes
    masked, visible = (
        (starts + np.sort(tubes)[:, None, :]).reshape(len(g), -1)
        for tubes in (order[:, :num_masked], order[:, num_masked:])
    )
    return visible, masked


def drop_path_keeps(rate: float, depth: int, seed: int, network: int, g: Int64) -> npt.NDArray[np.float32]:
    """Stochastic depth: the factor of each block's residual branches, for each clip.

    Block i of `depth` is dropped at the rate p = rate i / (depth - 1); what is kept is scaled by 1 / (1 - p), so that
    its expectation is that of the whole network.

    Args:
        rate: Of the last block.
        depth: Number of blocks.
        seed: Of the run.
        network: Number of the network within its objective; each has draws of its own.
        g: (B,) draw numbers.

    Returns:
        (B, depth), 0 where a block is dropped.
    """
    rates = np.linspace(0.0, rate, depth)
    kept = uniform(hash64(seed, Purpose.DROP_PATH, network, g), depth) >= rates
    return (kept / (1.0 - rates)).astype(np.float32)
