"""The clips of a dataset by class, so that an order can draw each class as often as it should."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import Location, RowRange, by_dataset
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.shards.storage.base import Storage


class ClassTable:
    """The clips of each class as a dataset of their own, `DATASET/CLASS`: a `SizedTable`.

    No dataset of a corpus has a slash in its name. Clips of a class are numbered from 0 in the order of the corpus;
    frames are those of the corpus, under the name of the dataset or of any class.

    Args:
        table: The corpus.
        dataset: The dataset.
        classes: The clips of each class, by its name: subsets of the corpus that have this dataset alone.

    Attributes:
        sha256: SHA-256 of the names of the classes and of their clips.
    """

    def __init__(self, table: FrameTable, dataset: str, classes: Mapping[str, Subset]) -> None:
        self._table = table
        self._dataset = dataset
        self._classes = {f"{dataset}/{name}": classes[name] for name in sorted(classes)}

        lines = [f"{name} {clips.sha256}\n" for name, clips in self._classes.items()]
        self.sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def storage(self) -> Storage:
        """Where the corpus lies."""
        return self._table.storage

    def sizes(self) -> tuple[DatasetSize, ...]:
        """The classes that have clips, sorted by name."""
        return tuple(
            replace(size, name=name)
            for name, clips in self._classes.items()
            for size in clips.sizes()
        )

    def locate(self, dataset: str, clip: int) -> Location:
        """Find clip number `clip` of a class; see `locate_all`."""
        return self.locate_all([dataset], [clip])[0]

    def locate_all(self, datasets: Sequence[str], clips: Sequence[int]) -> list[Location]:
        """See `ClipTable`; a location has the name of the class."""
        found: dict[int, Location] = {}
        for name, members in by_dataset(datasets).items():
            numbers = [clips[i] for i in members]
            places = self._classes[name].locate_all([self._dataset] * len(members), numbers)
            found |= {
                i: replace(place, dataset=name) for i, place in zip(members, places, strict=True)
            }
        return [found[i] for i in range(len(datasets))]

    def spans(self, dataset: str, first_clip: int, num_clips: int, look_back: int) -> list[range]:
        """See `ClipTable`."""
        return self._classes[dataset].spans(self._dataset, first_clip, num_clips, look_back)

    def chunk_bytes(self, dataset: str, num_clips: int, look_back: int) -> float:
        """See `ClipTable`."""
        return self._classes[dataset].chunk_bytes(self._dataset, num_clips, look_back)

    def video_frame(self, dataset: str, number: int) -> tuple[str, int]:
        """See `ClipTable`."""
        del dataset  # classes share the frames of the one that there is
        return self._table.video_frame(self._dataset, number)

    def picture_sizes(self, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
        """See `ClipTable`."""
        del dataset
        return self._table.picture_sizes(self._dataset, start, stop)

    def rows(self, dataset: str, start: int, stop: int) -> Iterator[RowRange]:
        """See `ClipTable`."""
        del dataset
        return self._table.rows(self._dataset, start, stop)

    def clips_cut_short(self, dataset: str, look_back: int) -> int:
        """See `SizedTable`."""
        return self._classes[dataset].clips_cut_short(self._dataset, look_back)

    def frames_apart(self, dataset: str) -> list[int]:
        """See `SizedTable`."""
        del dataset
        return self._table.frames_apart(self._dataset)
