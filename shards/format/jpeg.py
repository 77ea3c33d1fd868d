"""The header of a JPEG: the size that a decoder believes and takes memory for."""

import struct

_START = b"\xff\xd8"
_MAX_SEGMENTS = 256
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDB))
"""Markers of segments with a length. Restarts, start and end have none, and with the scan the data begins."""
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class PictureSizes:
    """`picture_size` of one picture after another, quick where headers are the same up to the size."""

    def __init__(self) -> None:
        """Know no picture yet."""
        self._header = b""
        self._size: tuple[int, int] | None = None

    def __call__(self, jpeg: memoryview) -> tuple[int, int] | None:
        """See `picture_size`."""
        if not self._header or jpeg[: len(self._header)] != self._header:
            self._header = jpeg[: _size_end(jpeg)].tobytes()
            self._size = _size_before(self._header, len(self._header))
        return self._size


def picture_size(jpeg: bytes | memoryview) -> tuple[int, int] | None:
    """Read width and height from the frame header of a JPEG, without decoding anything.

    Args:
        jpeg: The bytes of the picture; (num_bytes,) when a view.

    Returns:
        Width and height in pixels; None where the picture should not be decoded: there is no frame header before the
        data, or something other than segments before it.
    """
    return _size_before(jpeg, _size_end(jpeg))


def _size_before(jpeg: bytes | memoryview, end: int) -> tuple[int, int] | None:
    if not end:
        return None
    height, width = struct.unpack_from(">HH", jpeg, end - 4)
    return width, height


def _size_end(jpeg: bytes | memoryview) -> int:
    """The end of the size in the frame header; 0 when there is none."""
    if jpeg[:2] != _START:
        return 0

    at = len(_START)
    size = len(jpeg)
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > size:
            return 0
        one, marker, length = struct.unpack_from(">BBH", jpeg, at)
        if one != 0xFF or marker not in _SEGMENTS or length < 2:
            return 0

        # A frame header: 2 bytes of marker, 2 of length, 1 of precision, 2 of height, 2 of width.
        if marker in _FRAME_HEADERS:
            return at + 9
        at += 2 + length
    return 0
