"""Frames of a video over its whole length."""

from surgstream.shards.inspection.packed_frames import Placed, read_images, spread
from surgstream.shards.inspection.sheet import Row
from surgstream.shards.storage.stores import Storage


def strip(storage: Storage, placed: Placed, most: int) -> Row:
    """Make a row of at most `most` frames of a video, evenly spread."""
    video = placed.video
    title = f"{placed.name}   {video.num_frames} frames, {video.width}x{video.height}"

    numbers = spread(video.num_frames, most)
    images = read_images(storage, placed, numbers)
    seconds = placed.seconds
    digits = 0 if video.fps <= 1 else 1
    words = [f"{seconds[number]:,.{digits}f} s" for number in numbers]
    return Row(title, list(zip(images, words, strict=True)))
