"""Facts about pictures from the syntax of their packets: not every key frame is a clean start, for instance.

After an open group of pictures, or an intra refresh, pictures that follow a key frame may need others before it.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

_START_CODE = re.compile(b"\\x00\\x00\\x01")
_NOT_CODED_BYTES = 19  # most bytes of an MPEG-4 picture that repeats the last one, as in FFmpeg
_MPEG2_GROUP = re.compile(b"\\x00\\x00\\x01\\xb8...(.)", re.DOTALL)


def starts_anew(packet: Any, codec: str) -> bool:
    """Whether no picture from this packet on needs one before it; False where that cannot be told.

    Args:
        packet: The packet of a key frame.
        codec: FFmpeg's name of the decoder.
    """
    if codec in ("vp8", "vp9", "libvpx-vp9"):
        return True
    if codec == "h264":
        return any(unit[0] & 31 == 5 for unit in _units(packet))  # IDR
    if codec == "hevc":
        return any(16 <= unit[0] >> 1 & 63 <= 20 for unit in _units(packet))  # BLA or IDR
    if codec in ("mpeg1video", "mpeg2video"):
        group = _MPEG2_GROUP.search(bytes(packet))
        return group is not None and bool(group[1][0] & 0x40)  # closed_gop
    return False


def pictures_to_recovery(packet: Any, codec: str) -> int | None:
    """Read after how many pictures all are whole if decoding begins here; None if no recovery point is here.

    They are reference pictures in the order of the file (H.264), or any in the order of presentation (HEVC).

    Args:
        packet: Any packet.
        codec: FFmpeg's name of the decoder.
    """
    # Mask and shift of a unit's type, the type of supplemental information, and bytes of header.
    kinds = {"h264": (0x1F, 0, 6, 1), "hevc": (0x3F, 1, 39, 2)}
    if codec not in kinds:
        return None
    mask, shift, information, header_size = kinds[codec]

    for unit in _units(packet):
        if unit[0] >> shift & mask == information:
            # Without the bytes that keep start codes out of a unit (emulation prevention).
            payload = unit[header_size:].replace(b"\x00\x00\x03", b"\x00\x00")
            found = _recovery_point(payload)
            if found is not None:
                # HEVC's number is signed: codes 1, 2, 3 ... stand for 1, -1, 2 ...
                return found if codec == "h264" else (found + 1) // 2
    return None


def is_reference(packet: Any, codec: str) -> bool:
    """Whether other pictures may be built upon this one; True where that cannot be told."""
    if codec != "h264":
        return True
    # A slice (type 1 or 5) of a picture whose nal_ref_idc is not 0.
    return any(unit[0] & 31 in (1, 5) and unit[0] & 0x60 for unit in _units(packet))


def shows_a_picture(packet: Any, codec: str) -> bool:
    """Whether a sound packet gives a picture of its own: some only help others, or repeat the last one."""
    if codec in ("vp8", "libvpx"):
        return bool(bytes(packet)[0] & 0x10)  # show_frame
    return codec != "mpeg4" or packet.size > _NOT_CODED_BYTES


def _recovery_point(information: bytes) -> int | None:
    """Read the unsigned Exp-Golomb code in the message of kind 6 among those of a unit; None if there is none."""
    at = 0
    while at + 2 < len(information):
        kind, at = _sum(information, at)
        size, at = _sum(information, at)
        if kind == 6:
            # The zeros before the first 1 count the bits after it; the value is one less.
            bits = int.from_bytes(information[at : at + 8].ljust(8, b"\0"))
            zeros = 64 - bits.bit_length()
            return None if zeros > 20 else (bits >> 63 - 2 * zeros) - 1
        at += size
    return None


def _sum(data: bytes, at: int) -> tuple[int, int]:
    """Read a number written as bytes that add up, all but the last 255; return it and its end."""
    total = 0
    while at < len(data) and data[at] == 255:
        total += 255
        at += 1
    last = data[at] if at < len(data) else 0
    return total + last, at + 1


def _units(packet: Any) -> Iterator[bytes]:
    """Split a packet into network abstraction layer units, none of them empty."""
    data = bytes(packet)
    extra = packet.stream.codec_context.extradata

    # Start codes (Annex B), unless extradata is MP4's record of parameters, whose first byte is 1.
    if not extra or extra[0] != 1:
        starts = [code.end() for code in _START_CODE.finditer(data)]
        for start, stop in itertools.pairwise([*starts, len(data)]):
            if start < stop:
                yield data[start:stop]
        return

    # Lengths before the units; this byte of the record tells the size of a length.
    place = 4 if packet.stream.codec_context.name == "h264" else 21
    if len(extra) <= place:
        return
    length_size = extra[place] % 4 + 1

    at = 0
    while at + length_size < len(data):
        size = int.from_bytes(data[at : at + length_size])
        at += length_size
        # An empty unit is given one byte, since its type is looked at.
        yield data[at : at + size] or data[at : at + 1]
        at += size
