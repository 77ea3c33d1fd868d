"""Pack one shard as planned, and keep the receipt that lets a later run skip it."""

import contextlib
import hashlib
import itertools
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import numpy as np

from configs.errors import ConfigError
from configs.loading import build, to_tree
from shards import index
from shards.corpus import PackConfig
from shards.errors import ManifestError, StorageError, VideoError
from shards.index import ROW
from shards.labels import read_labels
from shards.packed import PackedVideo, Part, Reading, Shard, describe, segments
from shards.planned import PlannedShard, PlannedVideo, Quarantined
from shards.processes import Progress
from shards.schema import frame_member, index_name, receipt_name, segment_key, segment_member
from shards.sealed import seal, unseal
from shards.storage import Storage, Stores, open_storage
from shards.video.film import Film, find_film
from shards.video.frames import JpegFrames
from shards.video.picture import software
from shards.writer import TarWriter

MEMORY_BYTES = 256 * 2**20
"""How much of a video's JPEGs is held in memory before they go to a temporary file."""


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
        software=software(),
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
        """Append a video, or nothing: whether it can be packed shows only when its last frame is decoded."""
        labels = read_labels(planned.labels, self._stores)
        with _spool() as spool:
            packed, sizes, reading = self._decode(planned, spool)
            with _telling_of_the_temporary_folder():
                spool.seek(0)
            jpegs = map(spool.read, sizes)
            for number, segment in enumerate(segments(packed.parts, self._task.options.segment_frames)):
                start, stop = segment.first_frame / self._fps, (segment.first_frame + segment.num_frames) / self._fps
                sample = {
                    **describe(self._task.planned, packed, segment),
                    "labels": labels.between(start, stop),
                    "licence": self._task.planned.licence,
                    "source_fps": reading.fps,
                }
                self._add_sample(segment_key(packed.id, number), sample, itertools.islice(jpegs, segment.num_frames))
        self._videos.append(packed)
        self.readings.append(reading)

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

    def _decode(self, planned: PlannedVideo, spool: IO[bytes]) -> tuple[PackedVideo, list[int], Reading]:
        """Append a video's JPEGs to `spool`; their sizes come back with the video."""
        options, dataset = self._task.options, self._task.planned
        film = find_film(planned.location, self._stores, image_fps=dataset.image_fps, threads=self._task.threads)
        frames = JpegFrames(film, fps=self._fps, short_side=options.short_side, quality=options.jpeg_quality)
        numbers, sizes = [], []
        for number, jpeg in frames:
            numbers.append(number)
            with _telling_of_the_temporary_folder():
                sizes.append(spool.write(jpeg))
            self._progress(1)
        packed = PackedVideo(
            id=planned.id,
            source=planned.source,
            parts=tuple(_runs(numbers)),
            first_row=len(self._rows),
            fps=options.fps,
            width=frames.width,
            height=frames.height,
        )
        return packed, sizes, _reading(dataset.dataset, planned, film)

    def _add_sample(self, key: str, sample: dict[str, Any], jpegs: Iterable[bytes]) -> None:
        self.tar.add(segment_member(key), seal(sample))
        for number, jpeg in enumerate(jpegs):
            offset = self.tar.add(frame_member(key, number), jpeg)
            self._rows.append((offset, len(jpeg), zlib.crc32(jpeg)))


def _reading(dataset: str, planned: PlannedVideo, film: Film) -> Reading:
    header = film.header()
    return Reading(
        dataset=dataset,
        video=planned.id,
        source=planned.source,
        container=header.kind,
        codec=header.codec,
        width=header.width,
        height=header.height,
        fps=None if header.rate is None else float(header.rate),
        seconds=None if header.seconds is None else float(header.seconds),
        lost=tuple(film.lost),
    )


@contextlib.contextmanager
def _spool() -> Iterator[IO[bytes]]:
    """A place for a video's JPEGs: in memory, or in the temporary folder when they are many."""
    spool = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
    try:
        yield spool
    finally:
        with contextlib.suppress(OSError):  # it tries once more to write what could not be written
            spool.close()


@contextlib.contextmanager
def _telling_of_the_temporary_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{tempfile.tempdir or 'temporary folder'}: holding the frames of a video: {error.strerror}; "
            "free some space there, or set TMPDIR to a folder with more"
        ) from error


def _runs(numbers: list[int]) -> Iterator[Part]:
    """The runs of consecutive numbers in a growing list."""
    first = 0
    for here in range(1, len(numbers) + 1):
        if here == len(numbers) or numbers[here] != numbers[here - 1] + 1:
            yield Part(first_frame=numbers[first], num_frames=here - first)
            first = here
