"""Whether decoding may begin at a key frame, by the stream's own syntax: not every key frame cuts off what was before.

After an open group of pictures, or an intra refresh, pictures that follow a key frame may need others before it.
"""

import re
from collections.abc import Iterator
from typing import Any

_START_CODE = re.compile(b"\\x00\\x00\\x01")
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
        return any(first & 31 == 5 for first in _units(packet))
    if codec == "hevc":
        return any(16 <= first >> 1 & 63 <= 20 for first in _units(packet))
    if codec in ("mpeg1video", "mpeg2video"):
        group = _MPEG2_GROUP.search(bytes(packet))
        return group is not None and bool(group[1][0] & 0x40)
    return False


def _units(packet: Any) -> Iterator[int]:
    """The first byte of each network abstraction layer unit, by start codes (Annex B), or else by lengths."""
    data, extra = bytes(packet), packet.stream.codec_context.extradata
    if not extra or extra[0] != 1:
        yield from (data[code.end()] for code in _START_CODE.finditer(data) if code.end() < len(data))
        return
    length_size = (extra[4] if packet.stream.codec_context.name == "h264" else extra[21]) % 4 + 1
    at = 0
    while at + length_size < len(data):
        yield data[at + length_size]
        at += length_size + int.from_bytes(data[at : at + length_size])
