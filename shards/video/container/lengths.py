"""Lengths of videos, as their headers declare them."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

_TELL_THE_END = ("matroska,webm", "asf")
"""Containers that declare the end as their length: a part that was cut out of a film begins later than at 0."""

_TELL_THE_FILES = ("asf",)
"""Containers whose streams all carry the length of the file."""

_NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: the length is guessed from the size

_CLOCK = re.compile(r"([0-9]{1,6}):([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]{1,12})?)")


@dataclass(frozen=True)
class Length:
    """The length that a header declares.

    Attributes:
        seconds: Length of the pictures; the shorter one of two ways to read it.
        own: Whether it is the length of the pictures, and not of the whole file, whose sound may be longer.
    """

    seconds: Fraction
    own: bool


def declared_length(container: Any, stream: Any) -> Length | None:
    """Read the length of a stream of pictures from its container's header; None where it does not tell.

    Args:
        container: PyAV's container.
        stream: Its stream of moving pictures.
    """
    kind = container.format.name
    if container.format.flags & _NO_TIMESTAMPS:
        return None

    seconds = _of_the_stream(container, stream)
    own = seconds is not None and kind not in _TELL_THE_FILES
    if seconds is None and container.duration is not None:
        seconds = Fraction(container.duration, av.time_base)
    if seconds is None:
        return None

    start = Fraction(0)
    if stream.start_time is not None:
        start = stream.start_time * Fraction(stream.time_base)
    if kind in _TELL_THE_END and 0 < start < seconds:
        seconds -= start
    return Length(seconds, own or len(container.streams) == 1)


def _of_the_stream(container: Any, stream: Any) -> Fraction | None:
    # FFmpeg shortens the duration of AVI to what the file holds.
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        return Fraction(stream.frames / stream.average_rate)

    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)

    # Matroska writes it as text.
    if found := _CLOCK.fullmatch(stream.metadata.get("DURATION", "").strip()):
        hours, minutes, seconds = map(Fraction, found.groups())
        return 3600 * hours + 60 * minutes + seconds
    return None
