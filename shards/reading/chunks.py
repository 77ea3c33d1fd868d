"""Chunks: frames of consecutive clips, read from the shards' byte ranges and checked frame by frame.

A frame that is not what was packed, or whose JPEG declares another size than the manifest, is read again. Once two
reads agree on it, it is damaged in the store and marked as bad; `ClipCutter` decides what follows.
"""

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.index import Rows, read_rows
from surgstream.shards.format.jpeg import PictureSizes
from surgstream.shards.reading.activity import Activities
from surgstream.shards.reading.buffers import Bytes, new_buffer
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.counters import ReadCounters
from surgstream.shards.reading.locations import ClipTable, RowRange

_MAX_READS = 5

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadFrame:
    """A frame that still was not what was packed when it was read again.

    Attributes:
        shard: The tar it lies in.
        video: Its video.
        frame: Its number in the video.
        reason: What is wrong with it.
    """

    shard: str
    video: str
    frame: int
    reason: str


@dataclass(frozen=True)
class _Run:
    """Frames that follow each other in one shard: their bytes, with everything that lies between them."""

    first_frame: int
    data: Bytes
    frames: tuple[Bytes, ...]
    bad: dict[int, str]


@dataclass(frozen=True)
class Chunk:
    """Frames of a dataset, in memory. It is freed with the last reference to it or to one of its frames.

    Attributes:
        runs: Frames that follow each other in a shard, in growing order.
        bad: The frames that cannot be used, by number.
    """

    runs: Sequence[_Run]
    bad: Mapping[int, BadFrame]

    def frame(self, frame: int) -> Bytes:
        """The JPEG of frame number `frame` of the dataset, which must lie in the chunk: a view, (num_bytes,)."""
        run = next(run for run in reversed(self.runs) if frame >= run.first_frame)
        return run.frames[frame - run.first_frame]

    def frames(self, frames: range) -> tuple[Bytes, ...]:
        """The JPEGs of frames in growing order, as `frame` gives them."""
        run = self.runs[-1]
        if frames.start < run.first_frame:
            return tuple(map(self.frame, frames))
        start = frames.start - run.first_frame
        stop = frames.stop - run.first_frame
        return run.frames[start : stop : frames.step]


class ChunkReader:
    """Reads chunks of a corpus; safe to use from many threads.

    Attributes:
        counters: What it has cost.
    """

    def __init__(
        self,
        table: ClipTable,
        *,
        look_back: int,
        range_bytes: int,
        counters: ReadCounters,
        activities: Activities,
        stop: threading.Event,
        cache: ChunkCache | None = None,
    ) -> None:
        """Remember how to read.

        Args:
            table: The corpus.
            look_back: Frames at the rate of the clips, before a clip's anchor, that it may show.
            range_bytes: The most bytes of one request.
            counters: Where to count.
            activities: Where to say what is being read.
            stop: Set when no more chunks are wanted; reads that wait for a failing store then end.
            cache: Where to keep chunks on this node.
        """
        self._table = table
        self._stop = stop
        self._look_back = look_back
        self._range_bytes = range_bytes
        self.counters = counters
        self._activities = activities
        self._cache = cache

    def read(self, dataset: str, first_clip: int, num_clips: int) -> Chunk:
        """Read all frames that consecutive clips show: their anchors, and the look-back of the first of them.

        The table says which runs of frames these are; a run takes more than one range only where it crosses into
        another shard. Frames between those that are shown are read as well: separate requests would take longer. A
        single clip is not cached: chunks come back in every epoch, single clips do not.

        Args:
            dataset: The dataset.
            first_clip: First clip of the chunk.
            num_clips: Clips in the chunk.

        Returns:
            The frames.

        Raises:
            StorageError: The shard or its index is missing or too short, or the store fails.
        """
        cache = self._cache if num_clips > 1 else None
        runs: list[_Run] = []
        bad: dict[int, BadFrame] = {}
        for span in self._table.spans(dataset, first_clip, num_clips, self._look_back):
            frame = span.start
            for rows in self._table.rows(dataset, span.start, span.stop):
                run = self._cached_run(cache, frame, rows) if cache else None
                if run is None:
                    run = self._stored_run(cache, frame, rows)

                for i, reason in run.bad.items():
                    video, number = self._table.video_frame(dataset, frame + i)
                    bad[frame + i] = BadFrame(rows.shard, video, number, reason)
                runs.append(run)
                frame += rows.stop - rows.start

        self.counters.add(chunks_read=1)
        return Chunk(runs, bad)

    def _cached_run(self, cache: ChunkCache, first_frame: int, rows: RowRange) -> _Run | None:
        what = f"reads {rows.shard}, rows {rows.start} to {rows.stop}, from the cache"
        with self._activities.doing(what):
            found = cache.read(rows, self.counters.hold)
            if found:
                index, data = found
                run = self._checked_run(first_frame, rows, index, data)
                if not run.bad:
                    self.counters.add(cache_hits=1, cache_bytes=index.nbytes + data.nbytes)
                    return run
                self.counters.add(cache_damaged=1)
                cache.drop(rows)
        self.counters.add(cache_misses=1)
        return None

    def _stored_run(self, cache: ChunkCache | None, first_frame: int, rows: RowRange) -> _Run:
        """Read a run from the store until it is whole or two reads agree on what is bad; cache only a whole one."""
        bad: dict[int, str] | None = None
        for attempt in range(_MAX_READS):
            self.counters.add(read_again=min(attempt, 1))
            index, data = self._read_store(rows)
            run = self._checked_run(first_frame, rows, index, data)
            if not run.bad or run.bad == bad:
                break
            bad = run.bad

        if cache and not run.bad:
            what = f"keeps {rows.shard}, rows {rows.start} to {rows.stop}, in the cache"
            with self._activities.doing(what):
                cache.keep(rows, index, data)
        return run

    def _read_store(self, rows: RowRange) -> tuple[Rows, Bytes]:
        """Index rows and the bytes they span; no bytes where the rows are damaged."""
        with self._activities.doing(f"reads {rows.index}"):
            index = read_rows(self._table.storage, rows.index, rows.start, rows.stop)
        self.counters.add(bytes_read=index.nbytes, requests=1)

        spans = _spans(rows, index)
        if spans is None:
            return index, np.empty(0, np.uint8)
        starts, stops = spans
        start = int(starts[0])
        stop = int(stops[-1])
        return index, self._read_bytes(rows.shard, start, stop)

    def _checked_run(self, first_frame: int, rows: RowRange, index: Rows, data: Bytes) -> _Run:
        spans = _spans(rows, index)
        if spans is None or spans[1][-1] - spans[0][0] != data.nbytes:
            # The CRC-32 is in the reason, so that two reads agree only on the same damage.
            found = zlib.crc32(index.data)
            reason = (
                f"its index row is damaged: {rows.index}, rows {rows.start} to {rows.stop}, "
                f"CRC-32 {found:08x}"
            )
            bad = dict.fromkeys(range(index.size), reason)
            return _Run(first_frame, np.empty(0, np.uint8), (), bad)

        # Within `data`, which begins with the first frame.
        starts, stops = (ends - spans[0][0] for ends in spans)
        slices = map(slice, starts.tolist(), stops.tolist())
        frames = tuple(map(data.__getitem__, slices))

        jpegs = [frame.data for frame in frames]
        crcs = list(map(zlib.crc32, jpegs))
        sizes = list(map(PictureSizes(), jpegs))
        true_crcs = index["crc32"].tolist()
        true_sizes = self._table.picture_sizes(rows.dataset, first_frame, first_frame + index.size)

        # Whole lists first: damage is rare, and a loop over all frames is slow.
        bad = {}
        if crcs != true_crcs or sizes != true_sizes:
            checked = zip(crcs, sizes, true_crcs, true_sizes, strict=True)
            for i, (crc, size, true_crc, true_size) in enumerate(checked):
                if crc != true_crc:
                    bad[i] = f"expected CRC-32 {true_crc:08x}, got {crc:08x}"
                # Decoders take as much memory as the header asks for.
                elif size != true_size:
                    bad[i] = f"expected a JPEG of {_said(true_size)} pixels, got {_said(size)}"
        return _Run(first_frame, data, frames, bad)

    def _read_bytes(self, name: str, start: int, stop: int) -> Bytes:
        data = new_buffer(stop - start)
        self.counters.hold(data)
        for at in range(start, stop, self._range_bytes):
            end = min(at + self._range_bytes, stop)
            out = data.data[at - start : end - start]
            with self._activities.doing(f"reads {name}, bytes {at} to {end}"):
                self._table.storage.read_into(name, at, out, self._stop)
            self.counters.add(bytes_read=end - at, requests=1)
        return data


def _spans(rows: RowRange, index: Rows) -> tuple[Int64, Int64] | None:
    """The start and the stop of each frame in the shard; None where they are impossible.

    A damaged index must not lead to reading gigabytes, and zeros in its place must not pass for frames.
    """
    # Unsigned while they are compared: as signed numbers, offsets from 2^63 on would be negative.
    offsets = index["offset"]
    are_empty = index["size"] == 0
    if are_empty.any() or (offsets > rows.shard_bytes).any():
        return None

    starts = offsets.astype(np.int64)
    stops = starts + index["size"]
    overlap = starts[1:] < stops[:-1]
    if overlap.any() or (stops > rows.shard_bytes).any():
        return None
    return starts, stops


def _said(size: tuple[int, int] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "no JPEG header"
