"""How bright frames are, in each colour."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

BINS = 64

Histogram = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Of red, green and blue, from dark to light, each of `BINS`."""


def histogram(images: Iterable[Image.Image]) -> Histogram:
    """Count the values of all pixels of RGB images."""
    counts = sum(
        (np.array(image.histogram()).reshape(3, BINS, -1).sum(2) for image in images),
        np.zeros((3, BINS), int),
    )
    red, green, blue = (tuple(map(int, channel)) for channel in counts)
    return red, green, blue
