"""Connected regions of a mask."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom, the last two being the first ones outside."""


def largest_region(mask: Mask) -> Mask:
    """The largest region of a mask whose cells touch by their sides; empty if the mask is.

    Args:
        mask: Shape (H, W).

    Returns:
        The same shape.
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        wide = np.pad(labels, 1)
        around = np.maximum.reduce([labels, wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
        spread = np.where(mask, around, 0)
        if np.array_equal(spread, labels):
            break
        labels = spread
    sizes = np.bincount(labels[mask])
    return mask & (labels == sizes.argmax()) if sizes.size else mask


def bounds(mask: Mask) -> Rectangle:
    """The smallest rectangle that holds a mask, which is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
