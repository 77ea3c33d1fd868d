"""Writing that is burnt into a video: strokes that stay where they are while everything else moves."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.screening.regions import Rectangle, bounds, largest_region

STEP = 40
"""Of 255, from one side of a stroke to the other."""

STAYS = 0.6
"""Share of the looks in which a stroke is there; the digits of a clock share some."""

LEAST_LOOKS = 16
"""Fewer do not tell what stays from what has not moved yet."""

_BLOCK = 8
_DENSE = 0.08
_WIDEST, _LEAST_BLOCKS, _TALLEST = 1.5, 3, 0.3

Strokes = npt.NDArray[np.bool_]


def strokes_in(image: Image.Image) -> Strokes:
    """Where a frame turns brighter to the right, and where darker; shape (2, H, W - 1)."""
    grey = np.asarray(image.convert("L")).astype(np.int16)
    rise = np.diff(grey, axis=1)
    return np.stack([rise > STEP, rise < -STEP])


class Overlay:
    """Counts strokes over a video."""

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.uint32] | None = None
        self._num_looks = 0

    def add(self, strokes: Strokes) -> None:
        """Take a frame's; all are of one size."""
        if self._counts is None:
            self._counts = np.zeros(strokes.shape, np.uint32)
        self._counts += strokes
        self._num_looks += 1

    def find(self) -> tuple[Rectangle, float] | None:
        """The largest piece of writing, in pixels of a frame, and in what share of the looks its strokes are there.

        A line of writing has sides of both kinds close together, which an outline has not, and is wider than tall.
        """
        if self._counts is None or self._num_looks < LEAST_LOOKS:
            return None

        stays = self._counts >= STAYS * self._num_looks
        height, width = (size // _BLOCK * _BLOCK for size in stays.shape[1:])
        # How much of each block is strokes, of either kind; shape (2, rows, columns)
        blocks = (
            stays[:, :height, :width]
            .reshape(2, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
            .mean((2, 4))
        )
        dense = (blocks >= _DENSE).all(0)
        dense[:, 1:-1] |= dense[:, :-2] & dense[:, 2:]  # between words

        # The largest region may be no writing: then the next one is looked at
        while dense.any():
            region = largest_region(dense)
            left, top, right, bottom = bounds(region)
            wide, tall = right - left, bottom - top
            if wide >= max(_LEAST_BLOCKS, _WIDEST * tall) and tall <= _TALLEST * len(dense):
                box = left * _BLOCK, top * _BLOCK, right * _BLOCK, bottom * _BLOCK
                inside = np.s_[:, box[1] : box[3], box[0] : box[2]]
                return box, float(self._counts[inside][stays[inside]].mean() / self._num_looks)
            dense = dense & ~region
        return None
