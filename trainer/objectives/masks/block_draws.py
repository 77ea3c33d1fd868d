"""The masks of blocks of a micro-batch, on the device of its clips."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.masks.mask import Mask, TokenCount
from surgstream.trainer.objectives.masks.masking import BlockMask, block_mask
from surgstream.trainer.objectives.masks.tube_draws import to_device

_COUNTED_CLIPS = 480
_COUNTED_TOGETHER = 24
_TRIED_DRAWS = 64


def draw_blocks(
    grid: Grid,
    kinds: Sequence[BlockMask],
    seed: int,
    draws: npt.NDArray[np.int64],
    device: torch.device,
    *,
    first_kind: int = 0,
) -> list[Mask]:
    """Draw blocks to hide, through all of time, for each kind of mask.

    Args:
        grid: The clips' grid of tokens.
        kinds: The kinds of masks.
        seed: The run's seed.
        draws: (B,) draw numbers.
        device: The device of the clips.
        first_kind: Number of the first kind within its objective; each has draws of its own.
    """
    masks = []
    for kind, blocks in enumerate(kinds, start=first_kind):
        visible, masked = block_mask(grid, blocks, seed, kind, draws)
        masks.append(Mask(to_device(visible, device), to_device(masked, device)))
    return masks


def typical_counts(grid: Grid, kinds: Sequence[BlockMask]) -> list[TokenCount]:
    """The mean numbers of visible and masked tokens, by kind of mask, in micro-batches of 24, as published."""
    batches = np.arange(_COUNTED_CLIPS).reshape(-1, _COUNTED_TOGETHER)
    counts = []
    for kind, blocks in enumerate(kinds):
        drawn = [block_mask(grid, blocks, 0, kind, g) for g in batches]
        visible = np.mean([shown.shape[1] for shown, _ in drawn])
        masked = np.mean([hidden.shape[1] for _, hidden in drawn])
        counts.append(TokenCount(round(float(visible)), round(float(masked))))
    return counts


def most_visible(batch: ClipBatch, num_visible: Callable[[ClipBatch], int]) -> ClipBatch:
    """The same clips under the draws, among some steps', that show most tokens: the worst case for memory.

    Args:
        batch: The clips.
        num_visible: The tokens that a micro-batch's draws show.
    """
    size = len(batch.draws)
    firsts = range(0, _TRIED_DRAWS * size, size)
    tried = [replace(batch, draws=batch.draws + first, step_draw=first) for first in firsts]
    return max(tried, key=num_visible)
