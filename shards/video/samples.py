"""A few pictures from all over a video, without decoding the rest."""

from collections.abc import Iterator
from typing import Any

import av

from surgstream.shards.video.container.files import Video

KEY_FRAME_BYTES = 2**20
"""A size that key frames hardly exceed: as much of a video is fetched for each."""

FARTHEST_PACKETS = 1000
"""Packets in which a key frame is looked for."""


def key_frames(video: Video, count: int) -> Iterator[Any]:
    """Decode key frames near times that are evenly spread.

    Args:
        video: An open video. It is left at any position.
        count: The number of times.

    Yields:
        The pictures, each once; none where the file declares no length or allows no seeking.
    """
    if video.header.seconds is None:
        return

    video.stream.codec_context.skip_frame = "NONKEY"
    met: set[int] = set()
    for number in range(count):
        # The middle of each of `count` equal parts.
        after_start = video.header.seconds * (2 * number + 1) / (2 * count)
        seconds = (video.start or 0) + after_start
        picture = _at(video, int(seconds / video.stream.time_base), met)
        if picture is not None:
            yield picture


def _at(video: Video, timestamp: int, met: set[int]) -> Any | None:
    """Decode the key frame before a time; None where it was `met`, since a short clip has few of them."""
    first = None
    try:
        video.container.seek(timestamp, stream=video.stream)
        for number, packet in enumerate(video.container.demux(video.stream)):
            # Decoding begins at the first key frame, known by its timestamp.
            if first is None and packet.is_keyframe:
                first = packet.pts
            if first in met:
                return None

            pictures = packet.decode()
            if pictures or number > FARTHEST_PACKETS:
                if first is not None:
                    met.add(first)
                return pictures[0] if pictures else None
    except av.FFmpegError:
        pass
    return None
