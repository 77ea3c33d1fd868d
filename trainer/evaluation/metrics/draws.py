"""Many draws, a few at once."""

from collections.abc import Callable

import numpy as np

from surgstream.trainer.evaluation.metrics.statistic import Floats, Weights

_MOST_CELLS = 2**20
"""Numbers in one array: 8 MB."""


def in_blocks(at: Callable[[Weights], Floats], weights: Weights, num_cells: int) -> Floats:
    """The values at all draws, computed for as many at once as memory is meant for.

    Args:
        at: From weights (D, V) to values (D, ...).
        weights: (D, V), at least one draw.
        num_cells: Numbers that an array of `at` holds for each draw.
    """
    num_draws = max(1, _MOST_CELLS // max(1, num_cells))
    starts = range(0, len(weights), num_draws)
    return np.concatenate([at(weights[start : start + num_draws]) for start in starts])
