"""Single pictures of a video at given times, without decoding the rest, for a person to look at.

Times are those that the file gives its pictures, so they are a packed frame's own, except where a recorder's clock was
set anew in the middle: then what is found lies elsewhere.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from surgstream.shards.video.container.files import Video

Window = tuple[Fraction, Fraction]
"""From and to which second after the first picture; the end is not in it."""

AHEAD_SECONDS = 5
"""Decoding goes on to what is no farther ahead. Longer windows are likely to have key frames of their own."""

BACK_SECONDS = (0, 2, 10, 60)
"""How far before a time a key frame is sought: transport streams have no index, and lead to any packet."""

FARTHEST = 2000
"""How many pictures, or packets without one, are passed until the one that is looked for."""


def glimpses(video: Video, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
    """One picture of each window: a key frame that lies in it, or else what is on the screen when it begins.

    Args:
        video: An open video, at its start. It is left at any position.
        windows: In order of time.

    Yields:
        When the picture is seen, in seconds after the first one, and PyAV's frame; None where nothing can be decoded.
    """
    pictures = _pictures(video)
    shown, coming = next(pictures, None), next(pictures, None)
    origin = shown[0] if shown else Fraction(0)
    endless = set[Fraction]()  # key frames from which too much has to be decoded

    for low, high in windows:
        start, stop = origin + low, origin + high
        near = shown is not None and shown[0] <= start <= shown[0] + AHEAD_SECONDS
        # Decode on to what is near, unless the window is likely to have a key frame of its own
        if not near or stop - start > AHEAD_SECONDS:
            for back in BACK_SECONDS:
                pictures = _pictures(video, before=stop - back)
                shown, coming = next(pictures, None), next(pictures, None)
                if shown is not None and shown[0] < stop:
                    break

        first = shown[0] if shown else None
        for _ in range(0 if first in endless else FARTHEST):
            if coming is None or coming[0] > start:
                break
            shown, coming = coming, next(pictures, None)
        else:
            shown = None
            endless.update([first] if first is not None else [])

        if shown is None or shown[0] >= stop:
            yield None
        else:
            yield max(shown[0], start) - origin, shown[1]


def _pictures(video: Video, before: Fraction | None = None) -> Iterator[tuple[Fraction, Any]]:
    """Pictures and their timestamps in seconds, from the last key frame before a time, or from the start."""
    step: Fraction = video.stream.time_base
    try:
        if before is not None:
            # A key frame at that very time is not before it
            video.container.seek(int(before / step) - 1, stream=video.stream)

        fruitless = 0
        for packet in video.container.demux(video.stream):
            found = _decoded(packet)
            fruitless = 0 if found else fruitless + 1
            if fruitless > FARTHEST:
                return
            for picture in found:
                stamp = picture.dts if video.decode_times else picture.pts
                if stamp is not None:
                    yield stamp * step, picture
    except av.FFmpegError:
        return


def _decoded(packet: Any) -> list[Any]:
    try:
        return [picture for picture in packet.decode() if not picture.is_corrupt]
    except av.FFmpegError:
        return []
