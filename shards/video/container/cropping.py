"""Margins that a container declares to be cut off from its pictures: FFmpeg reads them, but PyAV does not tell.

MP4 has a clean aperture (`clap`) in the description of a track, Matroska the elements PixelCrop.
"""

import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

from surgstream.shards.video.container.shape import Margins

_MAX_PARTS = 1000  # looked at in one place: a hostile file could have millions

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_TRACKS = 0x1654AE6B
_TRACK = 0xAE
_TRACK_TYPE = 0x83
_PICTURES = 1  # a track type
_VIDEO = 0xE0
_CROPS = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}

_DESCRIPTION_BYTES = 78  # of a track of pictures, before the boxes in it
_SIZE_AT = 24


class _Part(NamedTuple):
    """A box of MP4 or an element of Matroska: its name, and start and stop of its content."""

    name: bytes | int
    start: int
    stop: int


def declared_margins(file: BinaryIO) -> list[Margins]:
    """Read the margins of each track of moving pictures, in the order of the file.

    Args:
        file: Any file; its position is 0 afterwards.

    Returns:
        The margins; an empty list for containers that cannot declare them, or that are damaged.
    """
    whole = _Part(b"", 0, file.seek(0, 2))
    try:
        read_margins = _of_matroska if _read(file, 0, 4) == _EBML else _of_mp4
        return list(read_margins(file, whole))
    # The file is cut off, or holds nonsense.
    except (struct.error, IndexError, ZeroDivisionError):
        return []
    finally:
        file.seek(0)


def _of_mp4(file: BinaryIO, whole: _Part) -> Iterator[Margins]:
    movie = _first(_boxes(file, whole), b"moov")
    for track in _boxes(file, movie) if movie else ():
        media = _first(_boxes(file, track), b"mdia") if track.name == b"trak" else None
        handler = _first(_boxes(file, media), b"hdlr") if media else None
        # The kind of a track stands behind 8 other bytes of its handler.
        if media is None or handler is None or _read(file, handler.start + 8, 4) != b"vide":
            continue

        # The table of descriptions has 8 bytes of its own before its first entry.
        table: _Part | None = media
        for name in (b"minf", b"stbl", b"stsd"):
            table = _first(_boxes(file, table), name) if table else None
        entries = _boxes(file, table._replace(start=table.start + 8)) if table else iter(())
        entry = next(entries, None)
        yield Margins() if entry is None else _aperture(file, entry)


def _aperture(file: BinaryIO, entry: _Part) -> Margins:
    """Compute the margins from the clean aperture in the description of a track."""
    boxes = _boxes(file, entry._replace(start=entry.start + _DESCRIPTION_BYTES))
    clap = _first(boxes, b"clap")
    if clap is None:
        return Margins()

    # Width, height and the offset of the centre, each as numerator and denominator.
    numbers = struct.unpack(">8i", _read(file, clap.start, 32))
    kept_width = Fraction(numbers[0], numbers[1])
    kept_height = Fraction(numbers[2], numbers[3])
    right = Fraction(numbers[4], numbers[5])
    down = Fraction(numbers[6], numbers[7])

    width, height = struct.unpack(">HH", _read(file, entry.start + _SIZE_AT, 4))
    cut_x = width - kept_width
    cut_y = height - kept_height
    left = int(cut_x / 2 + right)
    top = int(cut_y / 2 + down)
    margins = Margins(left, top, right=int(cut_x) - left, bottom=int(cut_y) - top)
    return margins if min(margins) >= 0 else Margins()


def _of_matroska(file: BinaryIO, whole: _Part) -> Iterator[Margins]:
    segment = _first(_elements(file, whole), _SEGMENT)
    parts = _elements(file, segment) if segment else iter(())
    # Tracks come before the first cluster, and clusters are nearly all of a file.
    before = itertools.takewhile(lambda part: part.name != _CLUSTER, parts)
    tracks = _first(before, _TRACKS)

    for track in _elements(file, tracks) if tracks else ():
        if track.name != _TRACK:
            continue
        inside = {part.name: part for part in _elements(file, track)}
        if _TRACK_TYPE not in inside or _number(file, inside[_TRACK_TYPE]) != _PICTURES:
            continue

        found = {}
        for part in _elements(file, inside[_VIDEO]) if _VIDEO in inside else ():
            if part.name in _CROPS:
                found[_CROPS[part.name]] = _number(file, part)
        yield Margins(**found)


def _first(parts: Iterator[_Part], name: bytes | int) -> _Part | None:
    return next((part for part in parts if part.name == name), None)


def _boxes(file: BinaryIO, outer: _Part) -> Iterator[_Part]:
    """Iterate over the boxes in an MP4 box."""
    at = outer.start
    for _ in range(_MAX_PARTS):
        if at + 8 > outer.stop:
            return

        size, name = struct.unpack(">I4s", _read(file, at, 8))
        start = at + 8
        # 1: the size follows the name, in 64 bits. 0: the box ends with the outer one.
        if size == 1:
            (size,) = struct.unpack(">Q", _read(file, start, 8))
            start += 8
        stop = at + size if size else outer.stop
        if stop < start:
            return
        yield _Part(name, start, min(stop, outer.stop))
        at = stop


def _elements(file: BinaryIO, outer: _Part) -> Iterator[_Part]:
    """Iterate over the elements in a Matroska element; one of unknown size reaches to the end."""
    at = outer.start
    for _ in range(_MAX_PARTS):
        if at >= outer.stop:
            return

        # At most 4 bytes of name and 8 of size.
        head = _read(file, at, 12)
        name_bytes = _length(head[0])
        name = int.from_bytes(head[:name_bytes])
        rest = head[name_bytes:]

        # Each byte of a size has 7 bits of the number; with all bits 1 the size is unknown.
        size_bytes = _length(rest[0])
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(rest[:size_bytes]) & unknown
        start = at + name_bytes + size_bytes
        stop = outer.stop if size == unknown else start + size
        yield _Part(name, start, max(start, min(stop, outer.stop)))
        at = stop


def _length(first: int) -> int:
    """Count the bytes of a Matroska number, by its first one."""
    return 9 - first.bit_length()


def _number(file: BinaryIO, part: _Part) -> int:
    return int.from_bytes(_read(file, part.start, min(8, part.stop - part.start)))


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
