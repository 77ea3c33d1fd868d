"""Pack one shard as planned, and keep the receipt that lets a later run skip it."""

import hashlib
import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from configs.errors import ConfigError
from configs.loading import build, to_tree
from shards import index
from shards.corpus import PackConfig
from shards.errors import ManifestError, VideoError
from shards.index import ROW
from shards.labels import read_labels
from shards.packed import PackedVideo, Reading, Shard, describe, segments
from shards.planned import PlannedShard, PlannedVideo, Quarantined
from shards.processes import Progress
from shards.schema import frame_member, index_name, receipt_name, segment_key, segment_member
from shards.sealed import seal, unseal
from shards.storage import Storage, Stores, open_storage
from shards.taking import take
from shards.video.picture import software
from shards.views.faces import opencv
from shards.writer import TarWriter


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
        shard = receipt.shard
        whole = shard is None or (
            shard.name == planned.name
            and storage.size(shard.name) == shard.num_bytes
            and storage.size(shard.index_name) == shard.num_frames * ROW.itemsize
        )
        return receipt if whole else None


@dataclass(frozen=True)
class PackTask:
    """A planned shard, how to pack it, the address of the corpus, and how many threads decode a video."""

    planned: PlannedShard
    options: PackConfig
    out: str
    threads: int = 1


def pack_shard(task: PackTask, progress: Progress) -> Receipt:
    """Decode a shard's videos one after another and publish the shard, its index and its receipt, in this order.

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
        packing = _Packing(task, TarWriter(sink), progress)
        for video in planned.videos:
            try:
                packing.add(video)
            except VideoError as error:
                progress(0, failed=1)
                quarantine.append(
                    Quarantined(dataset=planned.dataset, video=video.id, source=video.location, reason=str(error))
                )
        packing.tar.close()
    receipt = Receipt(
        fingerprint=planned.fingerprint(task.options),
        shard=packing.publish_index(storage),
        readings=tuple(packing.readings),
        quarantine=tuple(quarantine),
        software={**software(), **opencv()},
    )
    storage.write(receipt_name(planned.name), seal(to_tree(receipt)))
    return receipt


class _Packing:
    """A shard in the making: the tar, and what the manifest and the index will say of it."""

    def __init__(self, task: PackTask, tar: TarWriter, progress: Progress) -> None:
        self.tar = tar
        self.readings: list[Reading] = []
        self._task = task
        self._progress = progress
        self._fps = Fraction(str(task.options.fps))
        self._stores = Stores()
        self._videos: list[PackedVideo] = []
        self._rows: list[tuple[int, int, int]] = []

    def add(self, planned: PlannedVideo) -> None:
        """Append a video, or nothing."""
        shard, options = self._task.planned, self._task.options
        labels = read_labels(planned.labels, self._stores)
        with take(planned, shard, options, self._stores, self._task.threads, self._progress) as taken:
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
                start, stop = segment.first_frame / self._fps, (segment.first_frame + segment.num_frames) / self._fps
                sample = {
                    **describe(shard, packed, segment),
                    **taken.reading.between(start, stop),
                    "labels": labels.between(start, stop),
                    "licence": shard.licence,
                }
                jpegs = itertools.islice(taken.jpegs, segment.num_frames)
                self._add_sample(segment_key(packed.id, number), sample, jpegs)
            self._videos.append(packed)
            self.readings.append(taken.reading)

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
