"""What packets say of their pictures by the stream's own syntax: not every key frame cuts off what was before, say.

After an open group of pictures, or an intra refresh, pictures that follow a key frame may need others before it.
"""

import re
from collections.abc import Iterator
from typing import Any

_START_CODE = re.compile(b"\\x00\\x00\\x01")
_NOT_CODED_BYTES = (
    19  # the most of an MPEG-4 picture that says "as before", by FFmpeg's own measure
)
_MPEG2_GROUP = re.compile(b"\\x00\\x00\\x01\\xb8...(.)", re.DOTALL)


def starts_anew(packet: Any, codec: str) -> bool:
    """Whether no picture from this packet on needs one before it; False where that cannot be told.

    Args:
        packet: A key frame's.
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
    """How many pictures after this one all are whole, though decoding begins here; None if no recovery point is here.

    They are reference pictures in the order of the file (H.264), or any in the order of presentation (HEVC).

    Args:
        packet: Any.
        codec: FFmpeg's name of the decoder.
    """
    # Mask and shift of a unit's type, the type of supplemental information, and bytes of header
    kinds = {"h264": (0x1F, 0, 6, 1), "hevc": (0x3F, 1, 39, 2)}
    if codec not in kinds:
        return None
    mask, shift, information, header_size = kinds[codec]
    for unit in _units(packet):
        if unit[0] >> shift & mask == information:
            # Without the bytes that keep start codes out of a unit (emulation prevention)
            found = _recovery_point(unit[header_size:].replace(b"\x00\x00\x03", b"\x00\x00"))
            if found is not None:
                return found if codec == "h264" else (found + 1) // 2  # of a signed number
    return None


def is_reference(packet: Any, codec: str) -> bool:
    """Whether other pictures may be built upon this one; True where that cannot be told."""
    # Slices, of a picture whose nal_ref_idc is not 0
    return codec != "h264" or any(
        unit[0] & 31 in (1, 5) and unit[0] & 0x60 for unit in _units(packet)
    )


def shows_a_picture(packet: Any, codec: str) -> bool:
    """Whether a picture of its own comes of a packet, if it is sound: some only help others, or repeat the last one."""
    if codec in ("vp8", "libvpx"):
        return bool(bytes(packet)[0] & 0x10)  # show_frame
    return codec != "mpeg4" or packet.size > _NOT_CODED_BYTES


def _recovery_point(information: bytes) -> int | None:
    """The number in the message of kind 6 among those of a unit, as an unsigned Exp-Golomb code."""
    at = 0
    while at + 2 < len(information):
        kind, at = _sum(information, at)
        size, at = _sum(information, at)
        if kind == 6:
            # Unsigned Exp-Golomb: as many zeros as bits follow the first 1; the value is one less
            bits = int.from_bytes(information[at : at + 8].ljust(8, b"\0"))
            zeros = 64 - bits.bit_length()
            return None if zeros > 20 else (bits >> 63 - 2 * zeros) - 1
        at += size
    return None


def _sum(data: bytes, at: int) -> tuple[int, int]:
    """A number written as bytes that add up, all but the last 255, and where it ends."""
    total = 0
    while at < len(data) and data[at] == 255:
        total, at = total + 255, at + 1
    return total + (data[at] if at < len(data) else 0), at + 1


def _units(packet: Any) -> Iterator[bytes]:
    """The network abstraction layer units, none of them empty: by start codes (Annex B), or else by lengths."""
    data, extra = bytes(packet), packet.stream.codec_context.extradata
    # Start codes, unless extradata is MP4's record of parameters, whose first byte is 1
    if not extra or extra[0] != 1:
        starts = [code.end() for code in _START_CODE.finditer(data)]
        yield from (
            data[start:stop]
            for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)
            if start < stop
        )
        return

    # Where in that record the size of a length stands
    place = 4 if packet.stream.codec_context.name == "h264" else 21
    if len(extra) <= place:
        return
    length_size = extra[place] % 4 + 1

    at = 0
    while at + length_size < len(data):
        size = int.from_bytes(data[at : at + length_size])
        at += length_size
        # An empty unit would have no first byte to look at
        yield data[at : at + size] or data[at : at + 1]
        at += size
