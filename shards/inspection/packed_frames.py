"""Single frames of a packed corpus, found by video and time."""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.format.index import read_rows
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.records import PackedVideo, Shard
from surgstream.shards.storage.stores import Storage, read_range

if TYPE_CHECKING:
    from PIL import Image

GAP_FRAMES = 30
"""Most frames from one wanted frame to the next that are read in one request."""

GROUP_FRAMES = 256
"""Most frames that are read in one request."""


@dataclass(frozen=True)
class Placed:
    """A packed video and the shard that holds it."""

    shard: Shard
    video: PackedVideo

    @property
    def name(self) -> str:
        """`DATASET/VIDEO`."""
        return f"{self.shard.dataset}/{self.video.id}"

    @property
    def frame_numbers(self) -> list[int]:
        """Number of each of its frames in the video."""
        numbers: list[int] = []
        for part in self.video.parts:
            numbers += range(part.first_frame, part.first_frame + part.num_frames)
        return numbers

    @property
    def seconds(self) -> list[float]:
        """Time of each of its frames, in seconds after the first picture."""
        fps = Fraction(str(self.video.fps))
        return [float(number / fps) for number in self.frame_numbers]


def all_videos(manifest: Manifest) -> Iterator[Placed]:
    """Iterate over the videos of a corpus."""
    for shard in manifest.shards:
        for video in shard.videos:
            yield Placed(shard, video)


def find_video(manifest: Manifest, name: str) -> Placed:
    """Find a video by `VIDEO`, `DATASET/VIDEO`, or the name of its file.

    Raises:
        ConfigError: There is none, or there are several.
    """
    found = []
    for placed in all_videos(manifest):
        names = {placed.video.id, placed.video.source}
        names |= {f"{placed.shard.dataset}/{each}" for each in names}
        if name in names:
            found.append(placed)

    if len(found) != 1:
        several = ", ".join(placed.name for placed in found[:5])
        raise ConfigError(
            f"--video: expected the name of one video, got {name!r}, that of {several or 'none'}"
        )
    return found[0]


def nearest_frame(placed: Placed, second: float) -> int:
    """Find the frame of a video, counted from its first, that is shown at a second or is the nearest to it.

    Raises:
        ConfigError: The video is shorter.
    """
    seconds = placed.seconds
    end = seconds[-1] + 1 / placed.video.fps
    if second > end:
        raise ConfigError(
            f"--second: expected 0 to {end:g}, where {placed.name} ends, got {second:g}"
        )
    return min(range(len(seconds)), key=lambda number: (abs(seconds[number] - second), number))


def spread(count: int, wanted: int) -> list[int]:
    """Choose at most `wanted` of the numbers below `count`, evenly spread, the first and the last among them."""
    wanted = min(wanted, count)
    if wanted == 1:
        return [0]
    return [number * (count - 1) // (wanted - 1) for number in range(wanted)]


def read_frames(
    storage: Storage, placed: Placed, numbers: Sequence[int], gap: int = GAP_FRAMES
) -> Iterator[bytes]:
    """Read the JPEGs of some frames of a video; those that are near each other are read together.

    Args:
        storage: The corpus.
        placed: The video.
        numbers: The frames, counted from the video's first.
        gap: Most frames from one to the next of those that are read together.

    Yields:
        The JPEGs, in the order of `numbers`.

    Raises:
        CorruptSampleError: A frame, or its row of the index, is damaged.
        StorageError: The store fails.
    """
    shard, first = placed.shard, placed.video.first_row
    for group in _near(numbers, gap):
        rows = read_rows(storage, shard.index_name, first + group[0], first + group[-1] + 1)
        start = int(rows[0]["offset"])
        stop = int(rows[-1]["offset"]) + int(rows[-1]["size"])

        # Before anything is read: a damaged index may ask for any range.
        if not start < stop <= shard.num_bytes:
            where = (
                f"{storage.uri}: {shard.index_name}: frames {group[0]} to {group[-1]} of "
                f"{placed.video.id}"
            )
            raise CorruptSampleError(f"{where} are not in its shard; run `surgstream verify`")

        data = memoryview(read_range(storage, shard.name, start, stop))
        for number in group:
            row = rows[number - group[0]]
            offset = int(row["offset"]) - start
            jpeg = data[offset:][: int(row["size"])]
            if zlib.crc32(jpeg) != row["crc32"]:
                where = f"{storage.uri}: {shard.name}: frame {number} of {placed.video.id}"
                raise CorruptSampleError(
                    f"{where} is not as it was packed; run `surgstream verify`"
                )
            yield bytes(jpeg)


def _near(numbers: Sequence[int], gap: int) -> Iterator[list[int]]:
    """Cut ascending numbers where they are far apart, and where a group would become long."""
    group: list[int] = []
    for number in numbers:
        if group:
            is_near = 0 < number - group[-1] <= gap
            if not is_near or number - group[0] >= GROUP_FRAMES:
                yield group
                group = []
        group.append(number)
    if group:
        yield group


def read_images(
    storage: Storage, placed: Placed, numbers: Sequence[int]
) -> Iterator["Image.Image"]:
    """Read frames as `read_frames` does, and decode them; RGB."""
    # Login nodes, which look at no picture, need not have it.
    from PIL import Image

    for data in read_frames(storage, placed, numbers):
        yield Image.open(io.BytesIO(data)).convert("RGB")
