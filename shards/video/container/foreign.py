"""Other files under the names of videos: recognised by their first bytes, with what to do about them."""

import re
from typing import BinaryIO

_HEAD_BYTES = 4096

_SIGNATURES = (
    (128, b"DICM", "DICOM; take the video out of it, as with `gdcmraw -i FILE -o VIDEO.mp4`"),
    (0, b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS; run `git lfs pull`"),
    (0, b"/annex/objects/", "a pointer of git-annex; run `git annex get`"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it"),
    (0, b"\x1f\x8b", "compressed by gzip; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (0, b"%PDF-", "a PDF"),
    (
        0,
        b"\x00\x05\x16\x07",
        "the metadata that macOS keeps for a file; delete it, or leave it out of the glob",
    ),
)
"""Positions in a file, the bytes that stand there, and the kind of file that has them."""

_MARKUP = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml|error)\b", re.IGNORECASE
)

_UNFINISHED = (
    "its recording or copy was not finished, so that the list of its pictures (moov) is missing; "
    "copy it again if the original plays, or rebuild it from a whole one of the same recorder, as "
    "with `untrunc WHOLE.mp4 THIS.mp4`"
)


def foreign(file: BinaryIO) -> str:
    """Say what a file is that is certainly no video; empty for all others.

    Args:
        file: Any file; its position is 0 afterwards.
    """
    head = _read(file, 0, _HEAD_BYTES)
    file.seek(0)
    if not head:
        return "empty"
    for offset, signature, what in _SIGNATURES:
        if head.startswith(signature, offset):
            return what
    if _MARKUP.match(head):
        return (
            "a web page or an answer of a store, perhaps an error, saved under this name; "
            "download it again"
        )
    return ""


def missing(file: BinaryIO) -> str:
    """Say what is missing in a file that could not be opened; empty where that cannot be told."""
    size = file.seek(0, 2)
    if not any(_read(file, 0, _HEAD_BYTES)):
        return "it begins with zeros, as a download does that was not finished; copy it again"
    if _read(file, 4, 4) != b"ftyp":
        return ""

    # From box to box, as far as they are whole.
    position = 0
    while position + 8 <= size:
        header = _read(file, position, 16)
        if header[4:8] == b"moov":
            return ""

        # 1: the length follows in 64 bits. Less than 8: to the end of the file, or nonsense.
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        if length < 8:
            break
        position += length
    return _UNFINISHED


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
