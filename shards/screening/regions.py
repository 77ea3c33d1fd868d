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
    # Every cell has a label of its own at first; the largest of a region spreads over all of it
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        spread = _along_rows(_along_rows(labels).T).T
        if np.array_equal(spread, labels):
            break
        labels = spread

    sizes = np.bincount(labels[mask])
    return mask & (labels == sizes.argmax()) if sizes.size else mask


def _along_rows(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each run of labels, 0 being none, takes the largest of its own."""
    inside = labels > 0
    starts = inside.copy()
    starts[:, 1:] &= ~inside[:, :-1]
    first = np.flatnonzero(starts)
    if not first.size:
        return labels
    # What lies between two runs is counted in, and is 0
    largest = np.maximum.reduceat(labels.ravel(), first)
    run = np.cumsum(starts).reshape(labels.shape) - 1
    return np.where(inside, largest[run], 0)


def largest_of_cells(mask: Mask, side: int, share: float) -> Mask:
    """What of a mask lies in the largest region of square cells: coarser, and sooner found, than its own.

    Args:
        mask: Shape (H, W).
        side: Of a cell; what the last ones lack is as their edge is.
        share: Of a cell, more than which is set in those of the region.

    Returns:
        The same shape.
    """
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % side), (0, -width % side)), mode="edge")
    # Shape (rows, side, columns, side) before the mean
    cells = padded.reshape(len(padded) // side, side, -1, side).mean((1, 3)) > share
    return mask & largest_region(cells).repeat(side, 0).repeat(side, 1)[:height, :width]


def bounds(mask: Mask) -> Rectangle:
    """The smallest rectangle that holds a mask, which is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
