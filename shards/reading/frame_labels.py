"""Labels of packed frames, read back from the JSON of their segments by small ranges."""

import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import unseal
from surgstream.shards.format.index import Rows, from_bytes
from surgstream.shards.format.names import LARGEST_LABELS
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import read_range

_BLOCK = tarfile.BLOCKSIZE


class FrameLabels:
    """What a kind of label says of the anchors of a corpus' clips.

    A shard's index tells where its frames lie; what lies between two frames, other than a header, is the JSON of the
    segment that begins there. Indexes and descriptions are kept once read.

    Args:
        table: The corpus.
        kind: Of label, such as `phase`.
    """

    def __init__(self, table: FrameTable, kind: str) -> None:
        self._table, self._kind = table, kind
        self._segments, self._description = (
            cache(self._find_segments),
            cache(self._read_description),
        )

    def of(self, dataset: str, clips: Sequence[int]) -> list[str | None]:
        """The labels of some clips' anchors, by the clips' numbers in the dataset; None where nothing is said.

        Raises:
            ManifestError: A segment's description is damaged, or there is none.
            StorageError: The corpus cannot be read.
        """
        places = self._table.locate_all([dataset] * len(clips), clips)
        return [self._label(dataset, place.number) for place in places]

    def _label(self, dataset: str, frame: int) -> str | None:
        (place,) = self._table.rows(dataset, frame, frame + 1)
        first_rows, starts, stops = self._segments(place.shard, place.index)
        number = bisect_right(first_rows, place.start) - 1
        segment = self._description(place.shard, starts[number], stops[number])
        # Exact, in seconds of the video: rows start at decimals.
        time = (segment["first_frame"] + place.start - first_rows[number]) / Fraction(
            str(segment["fps"])
        )
        rows = segment["labels"].get(self._kind, [])
        holding = bisect_right(rows, time, key=lambda row: Fraction(str(row[0]))) - 1
        return str(rows[holding][1]) if holding >= 0 else None

    def _find_segments(self, shard: str, index: str) -> tuple[list[int], list[int], list[int]]:
        """First row of each segment of a shard, and where the content of its JSON starts and stops in the tar."""
        rows: Rows = from_bytes(self._table.storage.read(index), where=index)
        offsets = rows["offset"].astype(np.int64)
        # Where the content before each frame ends, filled up to whole blocks; 0 at the start.
        ends = np.concatenate(
            [[0], (offsets + -(-rows["size"].astype(np.int64) // _BLOCK) * _BLOCK)[:-1]]
        )
        # More than the header of the frame lies there only where a description comes first.
        first_rows = np.flatnonzero(offsets - _BLOCK > ends)
        if not first_rows.size or first_rows[0]:
            raise ManifestError(
                f"{index}: expected a description before the first frame; run `surgstream verify`"
            )
        return (
            first_rows.tolist(),
            (ends[first_rows] + _BLOCK).tolist(),
            (offsets[first_rows] - _BLOCK).tolist(),
        )

    def _read_description(self, shard: str, start: int, stop: int) -> dict[str, Any]:
        where = f"{shard}: bytes {start} to {stop}"
        if not 0 < stop - start <= LARGEST_LABELS:
            raise ManifestError(
                f"{where}: expected the description of a segment; run `surgstream verify`"
            )
        return unseal(
            read_range(self._table.storage, shard, start, stop).rstrip(b"\0"), where=where
        )
