"""Which picture is on the screen when a frame is taken."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """A picture and the time it is on the screen: [start, stop) in seconds after the video's first shown picture."""

    start: Fraction
    stop: Fraction
    picture: Any


def pick(pictures: Iterable[Shown], fps: Fraction) -> Iterator[tuple[int, Any]]:
    """For each k, the picture on the screen at k / fps seconds, in exact arithmetic.

    A picture that stays long is picked again; one that is gone before the next k / fps never is.

    Args:
        pictures: In order of time, not overlapping.
        fps: Frames a second.

    Yields:
        k and the picture, for every k at which there is one.
    """
    for shown in pictures:
        for number in range(math.ceil(shown.start * fps), math.ceil(shown.stop * fps)):
            yield number, shown.picture
