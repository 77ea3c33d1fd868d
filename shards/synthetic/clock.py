"""Frame numbers, drawn into pictures so that a test can tell which frame it has got.

Six squares in each of the frame's four corners, outside the endoscope's disc, spell 16 bits of the number and an
8-bit check, most significant bit first. A square is a sixteenth of the frame's short side, so it survives H.264,
scaling of the whole frame down to a short side of 80, and JPEG.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from surgstream.shards.synthetic.config import MAX_FRAMES

BLOCKS_PER_SHORT_SIDE = 16
CORNER = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2))
WHITE = 160


def stamp_frame_number(image: npt.NDArray[np.uint8], number: int) -> None:
    """Draw a frame number into a picture, in place.

    Args:
        image: (H, W, 3) picture.
        number: The number, in [0, MAX_FRAMES).

    Raises:
        ValueError: The number is out of range.
    """
    if not 0 <= number < MAX_FRAMES:
        raise ValueError(f"frame number: expected one in [0, {MAX_FRAMES}), got {number}")

    code = number << 8 | _check(number)
    for bit, (top, bottom, left, right) in enumerate(_squares(image, margin=0.0)):
        image[top:bottom, left:right] = WHITE if code >> (23 - bit) & 1 else 0


def read_frame_number(image: npt.NDArray[np.uint8]) -> int:
    """Read the frame number back from a picture, however the whole frame was scaled.

    Args:
        image: (H, W, 3) picture, uncropped and of the frame's aspect ratio.

    Returns:
        The number of the frame.

    Raises:
        ValueError: There is no frame number, or its check fails.
    """
    code = 0
    for top, bottom, left, right in _squares(image, margin=0.25):
        code = code << 1 | int(image[top:bottom, left:right].mean() > WHITE / 2)

    number = code >> 8
    if code & 0xFF != _check(number):
        raise ValueError(
            "frame number: expected the squares of a synthetic video's corners, found none that "
            "check out"
        )
    return number


def _check(number: int) -> int:
    """Compute eight bits that are not zero for a black frame and change with every bit of the number."""
    return ~(number ^ number >> 8 ^ number << 3) & 0xFF


def _squares(image: npt.NDArray[np.uint8], margin: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield top, bottom, left and right of each square, shrunk on all sides by `margin` of its size."""
    height, width = image.shape[:2]
    size = min(height, width) / BLOCKS_PER_SHORT_SIDE

    for from_bottom, from_right in ((False, False), (False, True), (True, False), (True, True)):
        for column, row in CORNER:
            left = round((column + margin) * size)
            right = round((column + 1 - margin) * size)
            top = round((row + margin) * size)
            bottom = round((row + 1 - margin) * size)
            if from_right:
                left, right = width - right, width - left
            if from_bottom:
                top, bottom = height - bottom, height - top
            yield top, bottom, left, right
