"""Connected regions of a mask."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are just outside."""


def largest_region(mask: Mask) -> Mask:
    """Find the largest region of a mask whose cells touch by their sides; empty if the mask is.

    Args:
        mask: Shape (H, W).

    Returns:
        The same shape.
    """
    # Every cell has a label of its own at first; the largest one of a region spreads over all of it.
    own_labels = np.arange(1, mask.size + 1).reshape(mask.shape)
    labels = np.where(mask, own_labels, 0)
    while True:
        spread = _along_rows(_along_rows(labels).T).T
        if np.array_equal(spread, labels):
            break
        labels = spread

    sizes = np.bincount(labels[mask])
    if not sizes.size:
        return mask
    region: Mask = labels == sizes.argmax()
    return mask & region


def _along_rows(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give each run of labels the largest one of its own; 0 is no label."""
    inside = labels > 0
    starts = inside.copy()
    starts[:, 1:] &= ~inside[:, :-1]
    first = np.flatnonzero(starts)
    if not first.size:
        return labels

    # The zeros behind a run count to it, which changes no maximum.
    largest = np.maximum.reduceat(labels.ravel(), first)
    run = np.cumsum(starts).reshape(labels.shape) - 1
    return np.where(inside, largest[run], 0)


def largest_of_cells(mask: Mask, side: int, share: float) -> Mask:
    """Keep the part of a mask in its largest region of square cells, which is found faster than one of pixels.

    Args:
        mask: Shape (H, W).
        side: Side of a cell in pixels; cells that reach over the edge repeat it.
        share: A cell belongs to a region if more than this share of it is set.

    Returns:
        The same shape.
    """
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % side), (0, -width % side)), mode="edge")
    num_rows = len(padded) // side
    cells = padded.reshape(num_rows, side, -1, side).mean((1, 3)) > share

    region = largest_region(cells).repeat(side, 0).repeat(side, 1)
    return mask & region[:height, :width]


def bounds(mask: Mask) -> Rectangle:
    """Find the smallest rectangle that holds a mask, which must not be empty."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return left, top, right, bottom
