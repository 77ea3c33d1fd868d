"""Writing that is burnt into a video: strokes that stay where they are while everything else moves."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.screening.regions import Rectangle, bounds, largest_region

STEP = 40
"""Least difference, of 255, between the two sides of an edge of a stroke."""

STAYS = 0.6
"""Share of the frames in which a stroke must be there; the digits of a clock share some."""

MIN_LOOKS = 16
"""Least number of frames: in fewer, writing cannot be told from what has not moved yet."""

_BLOCK = 8  # side in pixels
_DENSE = 0.08  # least share of a block that is strokes

# A piece of writing: its least width for its height, its least width in blocks, its largest share of the height.
_WIDEST = 1.5
_MIN_BLOCKS = 3
_TALLEST = 0.3

Strokes = npt.NDArray[np.bool_]


def strokes_in(image: Image.Image) -> Strokes:
    """Mark where a frame turns brighter to the right, and where darker; shape (2, H, W - 1)."""
    grey = np.asarray(image.convert("L")).astype(np.int16)
    rise = np.diff(grey, axis=1)
    return np.stack([rise > STEP, rise < -STEP])


class Overlay:
    """Counts of strokes over a video."""

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.uint32] | None = None
        self._num_looks = 0

    def add(self, strokes: Strokes) -> None:
        """Count the strokes of a frame; all frames are of one size."""
        if self._counts is None:
            self._counts = np.zeros(strokes.shape, np.uint32)
        self._counts += strokes
        self._num_looks += 1

    def find(self) -> tuple[Rectangle, float] | None:
        """Find the largest piece of writing.

        A line of writing has edges of both kinds close together, which an outline has not, and is wider than tall.

        Returns:
            Its box in pixels of a frame, and the share of the frames that have its strokes; None if there is none.
        """
        if self._counts is None or self._num_looks < MIN_LOOKS:
            return None

        stays = self._counts >= STAYS * self._num_looks
        dense = _dense_blocks(stays)

        # The largest region may be no writing: then the next one is looked at.
        while dense.any():
            region = largest_region(dense)
            left, top, right, bottom = bounds(region)
            width = right - left
            height = bottom - top
            is_wide = width >= max(_MIN_BLOCKS, _WIDEST * height)
            if is_wide and height <= _TALLEST * len(dense):
                box = (left * _BLOCK, top * _BLOCK, right * _BLOCK, bottom * _BLOCK)
                inside = np.s_[:, box[1] : box[3], box[0] : box[2]]
                counts = self._counts[inside][stays[inside]]
                return box, float(counts.mean() / self._num_looks)
            dense = dense & ~region

        return None


def _dense_blocks(strokes: Strokes) -> npt.NDArray[np.bool_]:
    """Mark the blocks that have many strokes of both kinds, and those between two of them; shape (rows, columns)."""
    _, height, width = strokes.shape
    num_rows = height // _BLOCK
    num_columns = width // _BLOCK

    # The share of each block that is strokes, of either kind; shape (2, rows, columns).
    whole = strokes[:, : num_rows * _BLOCK, : num_columns * _BLOCK]
    shares = whole.reshape(2, num_rows, _BLOCK, num_columns, _BLOCK).mean((2, 4))

    dense: npt.NDArray[np.bool_] = (shares >= _DENSE).all(0)
    dense[:, 1:-1] |= dense[:, :-2] & dense[:, 2:]  # between words
    return dense
