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
from surgstream.shards.corpus.labels import read_labels
from surgstream.shards.errors import ManifestError, VideoError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import seal, unseal
from surgstream.shards.format.index import ROW
from surgstream.shards.format.names import (
    frame_member,
    index_name,
    receipt_name,
    segment_key,
    segment_member,
)
from surgstream.shards.format.quarantine import Quarantined, quarantined
from surgstream.shards.format.records import PackedVideo, Reading, Shard, describe, segments
from surgstream.shards.format.tar import TarWriter
from surgstream.shards.packing.extract import Taken, take
from surgstream.shards.packing.plan_records import PlannedShard, PlannedVideo
from surgstream.shards.packing.spool import MEMORY_BYTES
from surgstream.shards.screening.faces import detector
from surgstream.shards.storage.stores import Storage, Stores, open_storage
from surgstream.shards.video.picture import software
from surgstream.shards.workers import Progress


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What packing a planned shard came to; `shard` is None when none of its videos could be packed."""

    fingerprint: str
    shard: Shard | None
    readings: tuple[Reading, ...]
    quarantine: tuple[Quarantined, ...]
    software: dict[str, str]

    @staticmethod
    def load(storage: Storage, planned: PlannedShard, options: PackConfig) -> "Receipt | None":
        """The receipt of a planned shard, if it was packed as planned and its files are there; None otherwise.

        Raises:
            StorageError: The store fails.
        """
        name = receipt_name(planned.name)
        if storage.size(name) is None:
            return None

        try:
            receipt = build(Receipt, unseal(storage.read(name), where=name), where=name)
        except (ManifestError, ConfigError):
            return None
        if receipt.fingerprint != planned.fingerprint(options):
            return None

        # The receipt was written last, so sizes are enough to see what was lost since.
        shard = receipt.shard
        whole = shard is None or (
            shard.name == planned.name
            and storage.size(shard.name) == shard.num_bytes
            and storage.size(shard.index_name) == shard.num_frames * ROW.itemsize
        )
        return receipt if whole else None


@dataclass(frozen=True)
class PackTask:
    """A planned shard, how to pack it, the address of the corpus, and how many threads decode its videos."""

    planned: PlannedShard
    options: PackConfig
    out: str
    threads: int = 1


def pack_shard(task: PackTask, progress: Progress) -> Receipt:
    """Decode a shard's videos, some side by side, and publish the shard, its index and its receipt, in this order.

    Args:
        task: What to pack.
        progress: Called after every frame, and after every video that cannot be packed.

    Returns:
        The receipt, as published.

    Raises:
        StorageError: A store fails. What a video itself is to blame for goes into the receipt's quarantine instead.
    """
    planned, storage = task.planned, open_storage(task.out)
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
    storage.write(receipt_name(planned.name), seal(to_tree(receipt)))
    return receipt


_Coming = tuple[ExitStack, Taken]
"""The frames of a video, and what holds them until it is closed."""


def _side_by_side(
    task: PackTask, progress: Progress
) -> Iterator[tuple[PlannedVideo, Future[_Coming]]]:
    """Take the frames of a shard's videos, as many at a time as there are threads, in order.

    A thread a video costs less than threads that share one: a short clip is over before all of them have begun. What a
    GPU decodes goes one by one, since each open video takes memory there.
    """
    shard, stores = task.planned, Stores()
    at_once = min(task.threads, len(shard.videos)) if task.options.decode == "cpu" else 1
    share = {"threads": task.threads // at_once, "memory_bytes": MEMORY_BYTES // at_once}

    def frames_of(video: PlannedVideo) -> _Coming:
        with ExitStack() as stack:
            taken = stack.enter_context(take(video, shard, task.options, stores, progress, **share))
            # The frames outlive this block; whoever is given the stack closes them.
            return stack.pop_all(), taken

    waiting, pool = deque[tuple[PlannedVideo, Future[_Coming]]](), ThreadPoolExecutor(at_once)
    try:
        for video in shard.videos:
            waiting.append((video, pool.submit(frames_of, video)))
            # The oldest is used up before another one begins, so that no more are held at a time.
            if len(waiting) == at_once:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an error is told at once


class _Packing:
    """A shard in the making: the tar, and what the manifest and the index will say of it."""

    def __init__(self, task: PackTask, tar: TarWriter) -> None:
        self.tar = tar
        self.readings: list[Reading] = []
        self._task = task
        self._fps = Fraction(str(task.options.fps))
        self._stores = Stores()
        self._videos: list[PackedVideo] = []
        self._rows: list[tuple[int, int, int]] = []

    def add(self, planned: PlannedVideo, frames: ExitStack, taken: Taken) -> None:
        """Append a video, or nothing, and let go of its frames."""
        shard, options = self._task.planned, self._task.options
        with frames:
            # What a video may be blamed for comes before its first byte: a tar cannot take it back.
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
                start, stop = (
                    segment.first_frame / self._fps,
                    (segment.first_frame + segment.num_frames) / self._fps,
                )
                sample = {
                    **describe(shard, packed, segment),
                    **taken.reading.between(start, stop),
                    "labels": labels.between(start, stop),
                    "licence": shard.licence,
                }
                # One iterator goes through all segments: frames lie in their order.
                jpegs = itertools.islice(taken.jpegs, segment.num_frames)
                self._add_sample(segment_key(packed.id, number), sample, jpegs)

            self._videos.append(packed)

    def publish_index(self, storage: Storage) -> Shard | None:
        """Write the index beside the published tar; a tar without videos goes again."""
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
        )

    def _add_sample(self, key: str, sample: dict[str, Any], jpegs: Iterable[bytes]) -> None:
        self.tar.add(segment_member(key), seal(sample))
        for number, jpeg in enumerate(jpegs):
            offset = self.tar.add(frame_member(key, number), jpeg)
            self._rows.append((offset, len(jpeg), zlib.crc32(jpeg)))


def _all_dropped(reading: Reading, options: PackConfig) -> str:
    """Why nothing of a video is left."""
    number = round(reading.dropped_seconds * options.fps)
    kinds = sorted({finding.kind for finding in reading.findings} & set(options.drop))
    return f"all of its {number} frames are dropped: {', '.join(kinds) or 'by the review'}"
