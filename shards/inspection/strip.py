"""Frames of a video over its whole length."""

from surgstream.shards.inspection.packed_frames import Placed, read_images, spread
from surgstream.shards.inspection.sheet import Row
from surgstream.shards.storage.stores import Storage


def strip(storage: Storage, placed: Placed, most: int) -> Row:
    """At most so many frames of a video, evenly spread."""
    numbers = spread(placed.video.num_frames, most)
    seconds = placed.seconds
    title = (
        f"{placed.name}   {placed.video.num_frames} frames, "
        f"{placed.video.width}x{placed.video.height}"
    )
    words = [
        f"{seconds[number]:,.0f} s" if placed.video.fps <= 1 else f"{seconds[number]:,.1f} s"
        for number in numbers
    ]
    return Row(title, list(zip(read_images(storage, placed, numbers), words, strict=True)))
