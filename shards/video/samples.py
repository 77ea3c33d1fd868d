"""A few pictures from all over a video, without decoding the rest."""

from collections.abc import Iterator
from typing import Any

import av

from surgstream.shards.video.container.files import Video

KEY_FRAME_BYTES = 2**20
"""What a key frame hardly exceeds: as much of a video is fetched for each."""

FARTHEST_PACKETS = 1000
"""How far a key frame is looked for."""


def key_frames(video: Video, count: int) -> Iterator[Any]:
    """Key frames near times that are evenly spread; none where the file tells no length or cannot be sought in.

    Args:
        video: An open video. It is left at any position.
        count: How many times.

    Yields:
        The pictures, each once.
    """
    if video.header.seconds is None:
        return
    video.stream.codec_context.skip_frame = "NONKEY"
    met = set[int]()
    for number in range(count):
        # The middle of each of `count` equal parts
        seconds = (video.start or 0) + video.header.seconds * (2 * number + 1) / (2 * count)
        picture = _at(video, int(seconds / video.stream.time_base), met)
        if picture is not None:
            yield picture


def _at(video: Video, timestamp: int, met: set[int]) -> Any | None:
    """The key frame before a time; None where it was `met`, since a short clip has few, and each is decoded once."""
    first = None
    try:
        video.container.seek(timestamp, stream=video.stream)
        for number, packet in enumerate(video.container.demux(video.stream)):
            # The key frame that decoding begins at, by its timestamp
            first = packet.pts if first is None and packet.is_keyframe else first
            if first in met:
                return None
            pictures = packet.decode()
            if pictures or number > FARTHEST_PACKETS:
                met.update([] if first is None else [first])
                return pictures[0] if pictures else None
    except av.FFmpegError:
        pass
    return None
