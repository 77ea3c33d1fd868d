"""Locations: where a clip lies among the frames of its dataset, and frames in a shard; and the tables that know it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from surgstream.shards.format.names import index_name
from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.storage.stores import Storage


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
        apart: Packed frames from one that is shown to the next; 0 is a still, which shows its anchor alone.
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

    @property
    def is_still(self) -> bool:
        """Whether the clip is a still: one picture, however many frames a clip has."""
        return self.apart == 0


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


@dataclass(frozen=True)
class ShownPart:
    """A part of a video, as a table shows it.

    Attributes:
        video: Id of the video.
        first_clip: Number in the dataset of the clip whose anchor is the part's first frame.
        frames: The numbers in the video of the frames that are shown, each the anchor of the next clip.
        fps: Packed frames a second: frame k is what the video shows after k / fps seconds.
    """

    video: str
    first_clip: int
    frames: range
    fps: float


class ClipTable(Protocol):
    """Datasets of numbered clips, and where their frames lie: a whole corpus, or a subset of it."""

    @property
    def storage(self) -> Storage:
        """Where the corpus lies."""

    @property
    def sha256(self) -> str:
        """What decides the numbers of clips, in hexadecimal: two tables that agree on it have the same clips."""

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The datasets, sorted by name."""

    def locate(self, dataset: str, clip: int) -> Location:
        """Find clip number `clip` of a dataset; see `locate_all`."""

    def locate_all(self, datasets: Sequence[str], clips: Sequence[int]) -> list[Location]:
        """Find many clips at once: of each its dataset, and its number there.

        Raises:
            IndexError: A dataset has no such clip.
        """

    def spans(self, dataset: str, first_clip: int, num_clips: int, look_back: int) -> list[range]:
        """The packed frames to read for consecutive clips, by number in the dataset: runs in growing order.

        Args:
            dataset: The dataset.
            first_clip: First of the clips.
            num_clips: How many they are, at least 1.
            look_back: Frames before its anchor that a clip shows, each `Location.apart` from the next.
        """

    def chunk_bytes(self, dataset: str, num_clips: int, look_back: int) -> float:
        """The bytes that `spans` of so many clips hold, as the mean frame of the dataset has them."""

    def video_frame(self, dataset: str, number: int) -> tuple[str, int]:
        """The video that packed frame `number` of a dataset, shown or not, belongs to, and its number there."""

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """Width and height in pixels of frames [start, stop) of a dataset."""

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """The index rows of frames [start, stop) of a dataset: one range for each shard they lie in, in order."""


class SizedTable(ClipTable, Protocol):
    """A table of clips that says how well its parts fit a clip, and its rate the corpus."""

    def clips_cut_short(self, dataset: str, look_back: int) -> int:
        """How many clips of a dataset would begin before their part of a video does, if they look back so many frames.

        The frames are those that the table shows, or, where clips have a stride of their own, strides.
        """

    def frames_apart(self, dataset: str) -> list[int]:
        """All distances, in packed frames, from a shown frame to the next one in the videos of a dataset, growing.

        That of still images is 0.
        """


def by_dataset(datasets: Sequence[str]) -> dict[str, list[int]]:
    """The positions of each dataset in a list of datasets."""
    positions: dict[str, list[int]] = {}
    for i, dataset in enumerate(datasets):
        positions.setdefault(dataset, []).append(i)
    return positions
