"""Locations: the place of a clip among the frames of its dataset, and that of frames in the index of a shard."""

from dataclasses import dataclass

from surgstream.shards.format.names import index_name


@dataclass(frozen=True)
class Location:
    """The place of a clip: its anchor, which is its last frame, and how to find the frames before it.

    Attributes:
        dataset: The dataset.
        clip: The clip's number in the dataset.
        number: The anchor's number among the packed frames of the dataset.
        video: Id of the video it belongs to.
        frame: Its number in the video.
        part_start: Number in the dataset of the first frame that its part shows; clips do not look back beyond it.
        apart: Packed frames from one that is shown to the next.
        width: Width of the video's frames in pixels.
        height: Their height in pixels.
    """

    dataset: str
    clip: int
    number: int
    video: str
    frame: int
    part_start: int
    apart: int
    width: int
    height: int


@dataclass(frozen=True)
class RowRange:
    """Rows [start, stop) of a shard's index; `shard` is the name of the tar, of `shard_bytes` bytes."""

    shard: str
    shard_bytes: int
    start: int
    stop: int

    @property
    def dataset(self) -> str:
        """The dataset of the shard."""
        return self.shard.partition("/")[0]

    @property
    def index(self) -> str:
        """The name of the index."""
        return index_name(self.shard)
