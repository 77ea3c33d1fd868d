"""Histograms of the colours of frames."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

BINS = 64

Histogram = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Counts of red, green and blue, from dark to light, `BINS` for each."""


def histogram(images: Iterable[Image.Image]) -> Histogram:
    """Count the values of all pixels of RGB images."""
    counts = np.zeros((3, BINS), int)
    for image in images:
        # All three colours follow each other, with 256 values each.
        values = np.array(image.histogram())
        counts += values.reshape(3, BINS, -1).sum(2)
    red, green, blue = (tuple(map(int, channel)) for channel in counts)
    return red, green, blue
