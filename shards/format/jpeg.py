"""The header of a JPEG: whether a decoder may be given it, and the size that it believes and takes memory for."""

import struct

_START = b"\xff\xd8"
_MAX_SEGMENTS = 256
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDB))
"""Markers of segments with a length. Restarts, start and end have none, and with the scan the data begins."""
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_MIN_SEGMENT_BYTES = 10
"""As many bytes of a segment are looked at; that of a scan is not shorter."""
_NUM_COMPONENTS = (1, 3, 4)

_Header = tuple[int, tuple[int, int] | None]


class PictureSizes:
    """`picture_size` of one picture after another, quick where headers are the same."""

    def __init__(self) -> None:
        """Know no picture yet."""
        self._header = b""
        self._size: tuple[int, int] | None = None

    def __call__(self, jpeg: memoryview) -> tuple[int, int] | None:
        """See `picture_size`."""
        if not self._header or jpeg[: len(self._header)].tobytes() != self._header:
            end, self._size = _read_header(jpeg)
            self._header = jpeg[:end].tobytes()
        return self._size


def picture_size(jpeg: bytes | memoryview) -> tuple[int, int] | None:
    """Read width and height from the header of a JPEG, without decoding anything.

    Args:
        jpeg: The bytes of the picture; (num_bytes,) when a view.

    Returns:
        Width and height in pixels; None where the picture must not be decoded, since there is something other than
        segments before the data, or no frame header: for one such picture among more than 32, DALI 2.4 ends the
        process by a segmentation fault.
    """
    return _read_header(jpeg)[1]


def _read_header(jpeg: bytes | memoryview) -> _Header:
    """The end of the header, some bytes into its last segment, and the size in it; (0, None) where it is broken."""
    if jpeg[:2] != _START:
        return 0, None

    size = None
    at = len(_START)
    for _ in range(_MAX_SEGMENTS):
        if at + _MIN_SEGMENT_BYTES > len(jpeg):
            break
        one, marker, length = struct.unpack_from(">BBH", jpeg, at)
        if one == 0xFF and marker == _SCAN:
            return (at + _MIN_SEGMENT_BYTES, size) if size else (0, None)
        if one != 0xFF or marker not in _SEGMENTS or length < 2:
            break

        # A frame header: 2 bytes of marker, 2 of length, 1 of precision, 2 of height, 2 of width, 1 of components.
        if marker in _FRAME_HEADERS:
            height, width, num_components = struct.unpack_from(">HHB", jpeg, at + 5)
            if num_components not in _NUM_COMPONENTS:
                break
            size = width, height
        at += 2 + length
    return 0, None
