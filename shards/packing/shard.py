"""Pack one shard as planned, and keep the receipt that lets a later run skip it."""

import hashlib
import itertools
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.labels import Labels, read_labels
from surgstream.shards.errors import ManifestError, VideoError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.index import ROW
from surgstream.shards.format.names import (
    frame_member,
    index_name,
    receipt_name,
    segment_key,
    segment_member,
)
from surgstream.shards.format.quarantine import Quarantined, quarantined
from surgstream.shards.format.records import (
    PackedVideo,
    Part,
    Shard,
    VideoReport,
    describe,
    segments,
)
from surgstream.shards.format.tar import TarWriter
from surgstream.shards.packing.extract import ExtractedFrames, extract_frames
from surgstream.shards.packing.plan_records import PlannedShard, PlannedVideo
from surgstream.shards.screening.faces import detector
from surgstream.shards.spool import MEMORY_BYTES
from surgstream.shards.storage.stores import Storage, Stores, open_storage
from surgstream.shards.video.picture import software
from surgstream.shards.workers import ProgressCallback


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The outcome of packing a planned shard; `shard` is None when none of its videos could be packed."""

    fingerprint: str
    shard: Shard | None
    readings: tuple[VideoReport, ...]
    quarantine: tuple[Quarantined, ...]
    software: dict[str, str]

    @staticmethod
    def load(storage: Storage, planned: PlannedShard, options: PackConfig) -> "Receipt | None":
        """Load the receipt of a planned shard; None unless it was packed as planned and its files are there.

        Raises:
            StorageError: The store fails.
        """
        name = receipt_name(planned.name)
        if storage.size(name) is None:
            return None

        try:
            receipt = Receipt.parse(storage.read(name), where=name)
        except (ManifestError, ConfigError):
            return None
        if receipt.fingerprint != planned.fingerprint(options):
            return None

        # The receipt was written last, so sizes are enough to see what was lost since. Shards of before do not say
        # that they are of stills.
        shard = receipt.shard
        whole = shard is None or (
            shard.name == planned.name
            and shard.stills == planned.stills
            and storage.size(shard.name) == shard.num_bytes
            and storage.size(shard.index_name) == shard.num_frames * ROW.itemsize
        )
        return receipt if whole else None

    @staticmethod
    def parse(data: bytes, *, where: str) -> "Receipt":
        """Read the bytes of a receipt; `where` is the file's name in messages.

        Raises:
            ManifestError: The bytes are damaged.
            ConfigError: They are those of something else.
        """
        return build(Receipt, load_checksummed(data, where=where), where=where)


@dataclass(frozen=True)
class PackTask:
    """A shard to pack.

    Attributes:
        planned: The shard.
        options: The options of packing.
        out: Address of the corpus.
        threads: Number of threads that decode its videos.
    """

    planned: PlannedShard
    options: PackConfig
    out: str
    threads: int = 1


def pack_shard(task: PackTask, progress: ProgressCallback) -> Receipt:
    """Decode a shard's videos, some at the same time, and publish the shard, its index and its receipt, in this order.

    Args:
        task: The shard.
        progress: Called after every frame, and after every video that cannot be packed.

    Returns:
        The receipt, as published.

    Raises:
        StorageError: A store fails. A fault of a video goes into the receipt's quarantine instead.
    """
    planned = task.planned
    storage = open_storage(task.out)
    quarantine: list[Quarantined] = []

    with storage.writer(planned.name) as sink:
        packing = _Packing(task, TarWriter(sink))
        for video, coming in _side_by_side(task, progress):
            try:
                packing.add(video, *coming.result())
            except VideoError as error:
                progress(0, failed=1)
                quarantine.append(quarantined(planned.dataset, video, error))
        packing.tar.close()

    receipt = Receipt(
        fingerprint=planned.fingerprint(task.options),
        shard=packing.publish_index(storage),
        readings=tuple(packing.readings),
        quarantine=tuple(quarantine),
        software={**software(), **detector()},
    )

    # Comes last: a shard without its receipt is packed again.
    storage.write(receipt_name(planned.name), dump_checksummed(to_tree(receipt)))
    return receipt


_Coming = tuple[ExitStack, ExtractedFrames]
"""The frames of a video, and the stack that holds them until it is closed."""


def _side_by_side(
    task: PackTask, progress: ProgressCallback
) -> Iterator[tuple[PlannedVideo, Future[_Coming]]]:
    """Take the frames of a shard's videos, in order, one thread a video and as many at a time as there are threads.

    A thread for each video costs less than threads that share one: a short clip is over before all of them have begun.
    A GPU decodes one video at a time, since each open video takes memory there.
    """
    shard = task.planned
    stores = Stores()
    at_once = min(task.threads, len(shard.videos)) if task.options.decode == "cpu" else 1
    share = {"threads": task.threads // at_once, "memory_bytes": MEMORY_BYTES // at_once}

    def frames_of(video: PlannedVideo) -> _Coming:
        with ExitStack() as stack:
            taken = stack.enter_context(
                extract_frames(video, shard, task.options, stores, progress, **share)
            )
            # The frames outlive this block: `_Packing.add` closes the stack.
            return stack.pop_all(), taken

    waiting: deque[tuple[PlannedVideo, Future[_Coming]]] = deque()
    pool = ThreadPoolExecutor(at_once)
    try:
        for video in shard.videos:
            waiting.append((video, pool.submit(frames_of, video)))
            # The oldest is used up before another one begins, so at most `at_once` are held.
            if len(waiting) == at_once:
                yield waiting.popleft()
        yield from waiting
    finally:
        # Without waiting, so that an error is told at once.
        pool.shutdown(wait=False, cancel_futures=True)


class _Packing:
    """A shard while it is packed: its tar, and the entries of its videos in the manifest and the index."""

    def __init__(self, task: PackTask, tar: TarWriter) -> None:
        self.tar = tar
        self.readings: list[VideoReport] = []
        self._task = task
        self._fps = Fraction(str(task.options.fps))
        self._stores = Stores()
        self._videos: list[PackedVideo] = []
        self._rows: list[tuple[int, int, int]] = []

    def add(self, planned: PlannedVideo, frames: ExitStack, taken: ExtractedFrames) -> None:
        """Append a video, or nothing, and close its frames.

        Raises:
            VideoError: Its labels are damaged, or all of it is dropped.
            StorageError: A store fails.
        """
        options = self._task.options
        with frames:
            # Any fault of the video must show before its first byte: a tar cannot take it back.
            labels = read_labels(planned.labels, self._stores)
            self.readings.append(taken.reading)
            if taken.reading.too_short:
                return
            if not taken.parts:
                raise VideoError(_all_dropped(taken.reading, options))

            packed = PackedVideo(
                id=planned.id,
                source=planned.source,
                parts=taken.parts,
                first_row=len(self._rows),
                fps=options.fps,
                width=taken.width,
                height=taken.height,
            )

            for number, segment in enumerate(segments(packed.parts, options.segment_frames)):
                sample = self._sample(packed, segment, taken.reading, labels)
                # One iterator serves all segments: its frames come in their order.
                jpegs = itertools.islice(taken.jpegs, segment.num_frames)
                self._add_sample(segment_key(packed.id, number), sample, jpegs)

            self._videos.append(packed)

    def _sample(
        self, video: PackedVideo, segment: Part, reading: VideoReport, labels: Labels
    ) -> dict[str, Any]:
        """Describe a segment, as its JSON does."""
        start = segment.first_frame / self._fps
        stop = (segment.first_frame + segment.num_frames) / self._fps
        return {
            **describe(self._task.planned, video, segment),
            **reading.between(start, stop),
            "labels": labels.between(start, stop),
            "licence": self._task.planned.licence,
        }

    def publish_index(self, storage: Storage) -> Shard | None:
        """Write the index of the published tar; delete a tar without videos and return None."""
        planned = self._task.planned
        if not self._videos:
            storage.delete(planned.name)
            storage.delete(index_name(planned.name))
            return None

        data = index.to_bytes(np.array(self._rows, dtype=ROW))
        storage.write(index_name(planned.name), data)

        return Shard(
            name=planned.name,
            num_bytes=self.tar.num_bytes,
            sha256=self.tar.sha256,
            index_sha256=hashlib.sha256(data).hexdigest(),
            dataset=planned.dataset,
            specialty=planned.specialty,
            procedure=planned.procedure,
            videos=tuple(self._videos),
            stills=planned.stills,
        )

    def _add_sample(self, key: str, sample: dict[str, Any], jpegs: Iterable[bytes]) -> None:
        self.tar.add(segment_member(key), dump_checksummed(sample))
        for number, jpeg in enumerate(jpegs):
            offset = self.tar.add(frame_member(key, number), jpeg)
            self._rows.append((offset, len(jpeg), zlib.crc32(jpeg)))


def _all_dropped(reading: VideoReport, options: PackConfig) -> str:
    """Say why nothing of a video is left."""
    number = round(reading.dropped_seconds * options.fps)
    kinds = sorted({finding.kind for finding in reading.findings} & set(options.drop))
    return f"all of its {number} frames are dropped: {', '.join(kinds) or 'by the review'}"
