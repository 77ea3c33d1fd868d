"""The header of a JPEG: the size that a decoder will believe, and take memory for."""

import struct

_START = b"\xff\xd8"
_MOST_SEGMENTS = 256
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDB))
"""Markers of segments with a length. Restarts, start and end have none, and with the scan the data begins."""
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_size(jpeg: bytes | memoryview) -> tuple[int, int] | None:
    """Read width and height from the frame header of a JPEG, without decoding anything.

    Args:
        jpeg: The bytes of the picture; (num_bytes,) when a view.

    Returns:
        Width and height in pixels; None where no decoder should be asked: there is no frame header before the data, or
        something else than segments before it.
    """
    if jpeg[:2] != _START:
        return None
    at, size = 2, len(jpeg)
    for _ in range(_MOST_SEGMENTS):
        if at + 9 > size:
            return None
        one, marker, length = struct.unpack_from(">BBH", jpeg, at)
        if one != 0xFF or marker not in _SEGMENTS or length < 2:
            return None
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", jpeg, at + 5)
            return width, height
        at += 2 + length
    return None
