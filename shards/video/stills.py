"""Single pictures of a video at given times, without decoding the rest, for a person to look at.

Times are those that the file gives its pictures. They are the times of packed frames, except where a recorder's clock
was reset in the middle of a video: from there on other pictures are found.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from surgstream.shards.video.container.files import Video

Window = tuple[Fraction, Fraction]
"""Start and stop in seconds after the first picture; the stop is not part of it."""

AHEAD_SECONDS = 5
"""Decoding goes on to a time that is no farther ahead. Longer windows are likely to have key frames of their own."""

BACK_SECONDS = (0, 2, 10, 60)
"""Distances before a time at which a key frame is sought: seeking in transport streams may lead to any packet."""

FARTHEST = 2000
"""Most pictures, or packets without one, that are decoded on the way to a picture."""


def glimpses(video: Video, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
    """Decode one picture of each window: a key frame in it, or else what is on the screen when it begins.

    Args:
        video: An open video, at its start. It is left at any position.
        windows: Windows in order of time.

    Yields:
        The picture's time in seconds after the first one, and PyAV's frame; None where nothing can be decoded.
    """
    pictures = _pictures(video)
    shown = next(pictures, None)
    coming = next(pictures, None)
    origin = shown[0] if shown else Fraction(0)
    endless: set[Fraction] = set()  # key frames from which too much has to be decoded

    for low, high in windows:
        start, stop = origin + low, origin + high

        # Decode on to what is near, unless the window is likely to have a key frame of its own.
        near = shown is not None and shown[0] <= start <= shown[0] + AHEAD_SECONDS
        if not near or stop - start > AHEAD_SECONDS:
            for back in BACK_SECONDS:
                pictures = _pictures(video, before=stop - back)
                shown = next(pictures, None)
                coming = next(pictures, None)
                if shown is not None and shown[0] < stop:
                    break

        first = shown[0] if shown else None
        for _ in range(0 if first in endless else FARTHEST):
            if coming is None or coming[0] > start:
                break
            shown = coming
            coming = next(pictures, None)
        else:
            shown = None
            if first is not None:
                endless.add(first)

        if shown is None or shown[0] >= stop:
            yield None
        else:
            yield max(shown[0], start) - origin, shown[1]


def _pictures(video: Video, before: Fraction | None = None) -> Iterator[tuple[Fraction, Any]]:
    """Decode pictures from the last key frame before a time, or from the start; yield timestamps in seconds too."""
    step: Fraction = video.stream.time_base
    try:
        if before is not None:
            # A key frame at that very time is not before it.
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
