"""Labels of packed frames, read back from the JSON of their segments by small ranges."""

import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.index import Rows, from_bytes
from surgstream.shards.format.names import MAX_LABELS
from surgstream.shards.reading.locations import ClipTable
from surgstream.shards.storage.stores import read_range

_BLOCK = tarfile.BLOCKSIZE


class FrameLabels:
    """Labels of one kind for the anchors of a corpus' clips.

    A shard's index tells where its frames lie; what lies between two frames, other than a header, is the JSON of the
    segment that begins there. Indexes and descriptions are kept once read.

    Args:
        table: The corpus.
        kind: The kind of label, such as `phase`.
    """

    def __init__(self, table: ClipTable, kind: str) -> None:
        self._table = table
        self._kind = kind
        self._segments = cache(self._find_segments)
        self._description = cache(self._read_description)

    def of(self, dataset: str, clips: Sequence[int]) -> list[str | None]:
        """The labels of some clips' anchors, by the clips' numbers in the dataset; None where a frame has no label.

        Raises:
            ManifestError: A segment's description is damaged, or there is none.
            StorageError: The corpus cannot be read.
        """
        return [label for _, label in self.moments(dataset, clips)]

    def moments(self, dataset: str, clips: Sequence[int]) -> list[tuple[Fraction, str | None]]:
        """The second in its video and the label of each clip's anchor; see `of`."""
        places = self._table.locate_all([dataset] * len(clips), clips)
        return [self._moment(dataset, place.number) for place in places]

    def _moment(self, dataset: str, frame: int) -> tuple[Fraction, str | None]:
        (place,) = self._table.rows(dataset, frame, frame + 1)
        first_rows, starts, stops = self._segments(place.shard, place.index)
        number = bisect_right(first_rows, place.start) - 1
        segment = self._description(place.shard, starts[number], stops[number])

        # Exact, in seconds of the video: rows start at decimals.
        frame_of_video = segment["first_frame"] + place.start - first_rows[number]
        time = frame_of_video / Fraction(str(segment["fps"]))
        rows = segment["labels"].get(self._kind, [])
        holding = bisect_right(rows, time, key=lambda row: Fraction(str(row[0]))) - 1
        return time, str(rows[holding][1]) if holding >= 0 else None

    def _find_segments(self, shard: str, index: str) -> tuple[list[int], list[int], list[int]]:
        """First row of each segment of a shard, and the start and stop in the tar of the content of its JSON."""
        rows: Rows = from_bytes(self._table.storage.read(index), where=index)
        offsets = rows["offset"].astype(np.int64)
        num_blocks = -(-rows["size"].astype(np.int64) // _BLOCK)
        # Where the content before each frame ends, filled up to whole blocks; 0 at the start.
        frame_ends = offsets + num_blocks * _BLOCK
        ends = np.concatenate([[0], frame_ends[:-1]])

        # More than the header of the frame lies there only where a description comes first.
        first_rows = np.flatnonzero(offsets - _BLOCK > ends)
        if not first_rows.size or first_rows[0]:
            raise ManifestError(
                f"{index}: expected a description before the first frame; run `surgstream verify`"
            )
        starts = ends[first_rows] + _BLOCK
        stops = offsets[first_rows] - _BLOCK
        return first_rows.tolist(), starts.tolist(), stops.tolist()

    def _read_description(self, shard: str, start: int, stop: int) -> dict[str, Any]:
        where = f"{shard}: bytes {start} to {stop}"
        if not 0 < stop - start <= MAX_LABELS:
            raise ManifestError(
                f"{where}: expected the description of a segment; run `surgstream verify`"
            )
        content = read_range(self._table.storage, shard, start, stop)
        return load_checksummed(content.rstrip(b"\0"), where=where)
