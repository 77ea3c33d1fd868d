"""What a container declares to be cut off from its pictures: FFmpeg reads it, but PyAV does not tell.

MP4 has a clean aperture (`clap`) in the description of a track, Matroska the elements PixelCrop.
"""

import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

from surgstream.shards.video.container.shape import Margins

_MOST_PARTS = 1000  # that are looked at in one place: a hostile file could have millions

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER, _TRACKS, _TRACK = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
_TRACK_TYPE, _PICTURES, _VIDEO = 0x83, 1, 0xE0
_CROPS = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}

_DESCRIPTION_BYTES = 78  # of a track of pictures, before the boxes in it
_SIZE_AT = 24


class _Part(NamedTuple):
    """A box of MP4 or an element of Matroska: its name, and where its content is."""

    name: bytes | int
    start: int
    stop: int


def declared_margins(file: BinaryIO) -> list[Margins]:
    """What is cut off, for each track of moving pictures, in the order of the file.

    Args:
        file: Any file; its position is 0 afterwards.

    Returns:
        Nothing for containers that cannot declare it, or that are damaged.
    """
    whole = _Part(b"", 0, file.seek(0, 2))
    try:
        matroska = _read(file, 0, 4) == _EBML
        return list(_of_matroska(file, whole) if matroska else _of_mp4(file, whole))
    except (struct.error, IndexError, ZeroDivisionError):  # cut off, or nonsense
        return []
    finally:
        file.seek(0)


def _of_mp4(file: BinaryIO, whole: _Part) -> Iterator[Margins]:
    movie = _first(_boxes(file, whole), b"moov")
    for track in _boxes(file, movie) if movie else ():
        media = _first(_boxes(file, track), b"mdia") if track.name == b"trak" else None
        handler = _first(_boxes(file, media), b"hdlr") if media else None
        # The kind of a track stands behind 8 other bytes of its handler
        if media is None or handler is None or _read(file, handler.start + 8, 4) != b"vide":
            continue

        # Down to the table of descriptions, whose first entry is behind 8 bytes of its own
        inner: _Part | None = media
        for name in (b"minf", b"stbl", b"stsd"):
            inner = _first(_boxes(file, inner), name) if inner else None
        entry = next(_boxes(file, inner._replace(start=inner.start + 8)), None) if inner else None
        yield Margins() if entry is None else _aperture(file, entry)


def _aperture(file: BinaryIO, entry: _Part) -> Margins:
    """By the description of a track."""
    clap = _first(_boxes(file, entry._replace(start=entry.start + _DESCRIPTION_BYTES)), b"clap")
    if clap is None:
        return Margins()
    width, height = struct.unpack(">HH", _read(file, entry.start + _SIZE_AT, 4))
    numbers = struct.unpack(">8i", _read(file, clap.start, 32))
    # Width, height and how far the centre is off, each as numerator and denominator
    kept_width, kept_height, right, down = (
        Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2)
    )
    left, top = int((width - kept_width) / 2 + right), int((height - kept_height) / 2 + down)
    margins = Margins(left, top, int(width - kept_width) - left, int(height - kept_height) - top)
    return margins if min(margins) >= 0 else Margins()


def _of_matroska(file: BinaryIO, whole: _Part) -> Iterator[Margins]:
    segment = _first(_elements(file, whole), _SEGMENT)
    before = itertools.takewhile(
        lambda part: part.name != _CLUSTER, _elements(file, segment) if segment else ()
    )
    tracks = _first(before, _TRACKS)
    for track in _elements(file, tracks) if tracks else ():
        inside = (
            {part.name: part for part in _elements(file, track)} if track.name == _TRACK else {}
        )
        if _TRACK_TYPE in inside and _number(file, inside[_TRACK_TYPE]) == _PICTURES:
            video = _elements(file, inside[_VIDEO]) if _VIDEO in inside else ()
            found = {
                _CROPS[part.name]: _number(file, part) for part in video if part.name in _CROPS
            }
            yield Margins(**found)


def _first(parts: Iterator[_Part], name: bytes | int) -> _Part | None:
    return next((part for part in parts if part.name == name), None)


def _boxes(file: BinaryIO, outer: _Part) -> Iterator[_Part]:
    """The boxes in an MP4 box."""
    at = outer.start
    for _ in range(_MOST_PARTS):
        if at + 8 > outer.stop:
            return
        size, name = struct.unpack(">I4s", _read(file, at, 8))
        start = at + 8
        if size == 1:  # 64 bits of it follow the name
            (size,) = struct.unpack(">Q", _read(file, start, 8))
            start += 8
        stop = at + size if size else outer.stop  # 0: to the end of the outer box
        if stop < start:
            return
        yield _Part(name, start, min(stop, outer.stop))
        at = stop


def _elements(file: BinaryIO, outer: _Part) -> Iterator[_Part]:
    """The elements in a Matroska element; one of unknown size reaches to the end."""
    at = outer.start
    for _ in range(_MOST_PARTS):
        if at >= outer.stop:
            return
        # At most 4 bytes of name and 8 of size
        head = _read(file, at, 12)
        length = _length(head[0])
        name, rest = int.from_bytes(head[:length]), head[length:]
        # Each byte of a size has 7 bits of the number; all of them 1 is an unknown size
        bits = 7 * _length(rest[0])
        size = int.from_bytes(rest[: bits // 7]) & (1 << bits) - 1
        start = at + length + bits // 7
        stop = outer.stop if size == (1 << bits) - 1 else start + size
        yield _Part(name, start, max(start, min(stop, outer.stop)))
        at = stop


def _length(first: int) -> int:
    """How many bytes a number of Matroska has, by its first one."""
    return 9 - first.bit_length()


def _number(file: BinaryIO, part: _Part) -> int:
    return int.from_bytes(_read(file, part.start, min(8, part.stop - part.start)))


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
