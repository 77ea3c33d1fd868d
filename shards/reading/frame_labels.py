"""Labels of packed frames, read back from the JSON of their segments by small ranges."""

import math
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.index import Rows, from_bytes
from surgstream.shards.format.names import MAX_LABELS
from surgstream.shards.reading.locations import ClipTable, ShownPart
from surgstream.shards.storage.stores import read_range

Int64 = npt.NDArray[np.int64]

_BLOCK = tarfile.BLOCKSIZE

_KEPT_INDEXES = 64
_KEPT_DESCRIPTIONS = 1024

_READERS = 8
"""Descriptions of a video that are read at a time."""


@dataclass(frozen=True)
class _Segments:
    """The segments of a shard: (S,) first rows, and the starts and stops in the tar of the content of their JSON."""

    first_rows: Int64
    starts: Int64
    stops: Int64


@dataclass(frozen=True)
class _SegmentRows:
    """Rows [start, stop) of a shard, all of one segment, which is described in bytes [json_start, json_stop)."""

    shard: str
    start: int
    stop: int
    first_row: int
    json_start: int
    json_stop: int


class FrameLabels:
    """Labels of one kind for the anchors of a corpus' clips.

    A shard's index tells where its frames lie; what lies between two frames, other than a header, is the JSON of the
    segment that begins there. Of indexes and descriptions those that were read last are kept.

    Args:
        table: The corpus.
        kind: The kind of label, such as `phase`.
    """

    def __init__(self, table: ClipTable, kind: str) -> None:
        self._table = table
        self._kind = kind
        self._segments = lru_cache(_KEPT_INDEXES)(self._find_segments)
        self._description = lru_cache(_KEPT_DESCRIPTIONS)(self._read_description)

    def of(self, dataset: str, clips: Sequence[int]) -> list[str | None]:
        """The labels of some clips' anchors, by the clips' numbers in the dataset; None where a frame has no label.

        Raises:
            ManifestError: A segment's description is damaged, or there is none.
            StorageError: The corpus cannot be read.
        """
        labels = []
        for place in self._table.locate_all([dataset] * len(clips), clips):
            (rows,) = self._rows(dataset, place.number, place.number + 1)
            description = self._description(rows.shard, rows.json_start, rows.json_stop)
            labels += self._labels(description, rows, range(rows.start, rows.stop))
        return labels

    def of_part(self, dataset: str, part: ShownPart) -> list[str | None]:
        """The labels of all frames that a part of a video shows; for errors see `of`."""
        first = self._table.locate(dataset, part.first_clip).number
        stop = first + part.frames[-1] + 1 - part.frames[0]
        segments = [*self._rows(dataset, first, stop)]

        def read(rows: _SegmentRows) -> dict[str, Any]:
            return self._read_description(rows.shard, rows.json_start, rows.json_stop)

        # A store far away takes a while for each of these small ranges.
        with ThreadPoolExecutor(min(_READERS, len(segments))) as pool:
            descriptions = [*pool.map(read, segments)]

        labels: list[str | None] = []
        frame = first
        for rows, description in zip(segments, descriptions, strict=True):
            skipped = (first - frame) % part.frames.step
            shown = range(rows.start + skipped, rows.stop, part.frames.step)
            labels += self._labels(description, rows, shown)
            frame += rows.stop - rows.start
        return labels

    def _labels(
        self, description: dict[str, Any], rows: _SegmentRows, shown: range
    ) -> list[str | None]:
        """The labels of some rows of a segment."""
        texts = [str(text) for _, text in description["labels"].get(self._kind, [])]
        seconds = [second for second, _ in description["labels"].get(self._kind, [])]
        # The first frame that each holds for. Exact, in seconds of the video: labels start at decimals.
        fps = Fraction(str(description["fps"]))
        firsts = [math.ceil(Fraction(str(second)) * fps) for second in seconds]

        frames = np.array(shown, np.int64) - rows.first_row + description["first_frame"]
        holding = np.searchsorted(np.array(firsts, np.int64), frames, side="right") - 1
        return [texts[row] if row >= 0 else None for row in holding.tolist()]

    def _rows(self, dataset: str, start: int, stop: int) -> Iterator[_SegmentRows]:
        """The rows of packed frames [start, stop) of a dataset, segment by segment."""
        for place in self._table.rows(dataset, start, stop):
            segments = self._segments(place.shard, place.index)
            ends = [*segments.first_rows[1:].tolist(), place.stop]
            first, last = np.searchsorted(
                segments.first_rows, [place.start, place.stop - 1], side="right"
            )
            for number in range(first - 1, last):
                first_row = int(segments.first_rows[number])
                yield _SegmentRows(
                    shard=place.shard,
                    start=max(place.start, first_row),
                    stop=min(place.stop, ends[number]),
                    first_row=first_row,
                    json_start=int(segments.starts[number]),
                    json_stop=int(segments.stops[number]),
                )

    def _find_segments(self, shard: str, index: str) -> _Segments:
        """Find the segments of a shard by its index."""
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
        return _Segments(first_rows, starts, stops)

    def _read_description(self, shard: str, start: int, stop: int) -> dict[str, Any]:
        where = f"{shard}: bytes {start} to {stop}"
        if not 0 < stop - start <= MAX_LABELS:
            raise ManifestError(
                f"{where}: expected the description of a segment; run `surgstream verify`"
            )
        content = read_range(self._table.storage, shard, start, stop)
        return load_checksummed(content.rstrip(b"\0"), where=where)
