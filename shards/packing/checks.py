"""What must hold of every byte of a packed corpus; each check yields one sentence for each thing that is wrong."""

import hashlib
import io
import reprlib
import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.errors import ManifestError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import seal, unseal
from surgstream.shards.format.index import ROW, Rows
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import (
    PLAN_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
    frame_member,
    is_receipt_name,
    receipt_name,
    segment_key,
    segment_member,
)
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import PackedVideo, Part, Reading, Shard, describe, segments
from surgstream.shards.format.tar import member_header, padded
from surgstream.shards.packing.plan import Plan
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.storage.stores import RangeReader, Storage
from surgstream.shards.workers import Progress

READ_BYTES = 8 * 2**20
LARGEST_MEMBER = 256 * 2**20
RECORDS_IN_FLIGHT = 16

_OF_REPORTS = (".html", ".jpg", ".jpeg", ".png")

T = TypeVar("T", Plan, Receipt)


def find_pictures(storage: Storage) -> list[str]:
    """The files beside shards that show what was found, dropped or not.

    Earlier versions kept small pictures in their records, and let a report be written there.

    Raises:
        StorageError: The store fails.
    """
    there = list(storage.sizes())
    names = list(filter(_is_record, there))
    with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
        held = pool.map(lambda name: b'"thumbnail":"' in storage.read(name), names)
        records = [name for name, holds in zip(names, held, strict=True) if holds]
    return records + [name for name in there if name.lower().endswith(_OF_REPORTS)]


def _is_record(name: str) -> bool:
    return name == READINGS_NAME or is_receipt_name(name)


def check_records(
    manifest: Manifest, storage: Storage, known: Collection[str] = ()
) -> Iterator[str]:
    """Check the plan, the receipts, and the reports of what was quarantined and of how the rest was read.

    A corpus that was staged has none of them. A planned shard has a receipt even where not one of its videos could be
    packed. The reports repeat what the others say, so they are compared with them once all of them are sound.

    Args:
        manifest: The corpus's own.
        storage: The corpus.
        known: Files of an earlier version, which `find_pictures` found and which are not looked at again.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    packed = {shard.name: shard for shard in manifest.shards}
    if not {PLAN_NAME, *map(receipt_name, packed)} & storage.sizes().keys():
        return

    plan = _record(Plan, PLAN_NAME, storage)
    planned = set() if isinstance(plan, str) else {shard.name for shard in plan.shards}
    names = sorted(name for name in planned | set(packed) if receipt_name(name) not in known)
    with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
        receipts = list(pool.map(lambda name: _record(Receipt, receipt_name(name), storage), names))

    records = [record for record in (plan, *receipts) if not isinstance(record, str)]
    yield from (damage for damage in (plan, *receipts) if isinstance(damage, str))
    for name, receipt in zip(names, receipts, strict=True):
        if isinstance(receipt, Receipt) and receipt.shard != packed.get(name):
            yield f"{receipt_name(name)}: describes another shard than the manifest does"

    # What the reports should say is known only where all records are sound and looked at.
    if len(records) == 1 + len(receipts) and not any(map(_is_record, known)):
        yield from _report(
            Quarantined,
            QUARANTINE_NAME,
            [line for record in records for line in record.quarantine],
            storage,
        )
        packings = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
        yield from _report(
            Reading,
            READINGS_NAME,
            [line for receipt in packings for line in receipt.readings],
            storage,
        )


def _report(
    kind: type[object], name: str, records: Iterable[object], storage: Storage
) -> Iterator[str]:
    expected = {seal(to_tree(record)) for record in records}
    report = b"" if storage.size(name) is None else storage.read(name)
    lines = [_as_written_now(kind, line) for line in report.splitlines(keepends=True)]
    if sorted(lines) != sorted(expected):
        yield (
            f"{name}: expected the {len(expected)} lines that {PLAN_NAME} and the receipts call "
            f"for, got {len(expected.intersection(lines))} of them in {len(lines)} lines"
        )


def _as_written_now(kind: type[object], line: bytes) -> bytes:
    """A line as this version would write it: earlier ones knew fewer fields. A damaged line stays as it is."""
    try:
        return seal(to_tree(build(kind, unseal(line, where=""), where="")))
    except (ManifestError, ConfigError):
        return line


def check_shard(
    shard: Shard, segment_frames: int, storage: Storage, progress: Progress
) -> Iterator[str]:
    """Check a shard and its index.

    Without a sound index a damaged tar is found, but not where.

    Args:
        shard: What the manifest says of it.
        segment_frames: Most frames in a segment.
        storage: The corpus.
        progress: Called after every segment with its number of frames.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    rows = None
    size, num_bytes = storage.size(shard.index_name), shard.num_frames * ROW.itemsize
    if size != num_bytes:
        yield _other_size(shard.index_name, num_bytes, size)
    else:
        data = storage.read(shard.index_name)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 == shard.index_sha256:
            rows = index.from_bytes(data, where=shard.index_name)
        else:
            yield f"{shard.index_name}: SHA-256: expected {shard.index_sha256}, got {sha256}"

    size = storage.size(shard.name)
    if size != shard.num_bytes:
        yield _other_size(shard.name, shard.num_bytes, size)
        return

    tape, sound = _Tape(storage, shard), True
    for finding in (
        () if rows is None else _check_members(shard, segment_frames, tape, rows, progress)
    ):
        sound = False
        yield f"{shard.name}: {finding}"
    # Hashes what is left; whether it is zeros, the members' check tells.
    tape.rest_is_zero()

    # Damage that was told with its place makes the checksum wrong as well.
    if sound and tape.sha256 != shard.sha256:
        yield f"{shard.name}: SHA-256: expected {shard.sha256}, got {tape.sha256}"


def _other_size(name: str, expected: int, size: int | None) -> str:
    return (
        f"{name}: is missing" if size is None else f"{name}: expected {expected} bytes, got {size}"
    )


def _record(cls: type[T], name: str, storage: Storage) -> T | str:
    """A sealed record, or what is wrong with it."""
    if storage.size(name) is None:
        return f"{name}: is missing; run `surgstream pack` again"
    try:
        return build(cls, unseal(storage.read(name), where=name), where=name)
    except (ManifestError, ConfigError) as error:
        return str(error)


def _check_members(
    shard: Shard, segment_frames: int, tape: "_Tape", rows: Rows, progress: Progress
) -> Iterator[str]:
    """Compare the tar, byte by byte from its start to its end, with what packing writes."""
    try:
        for video in shard.videos:
            for number, segment, its_rows in _segments_and_rows(video, segment_frames, rows):
                key = segment_key(video.id, number)
                yield from _check_description(
                    shard, video, segment, key, tape, int(its_rows[0]["offset"])
                )
                yield from _check_frames(video, segment, key, tape, its_rows)
                progress(segment.num_frames)
    except _LostError:
        yield f"from byte {tape.position} on it does not fit its index; the rest is not looked at"
        return
    if not tape.rest_is_zero():
        yield f"its end, after the last member: expected zeros up to byte {shard.num_bytes}"


def _segments_and_rows(
    video: PackedVideo, segment_frames: int, rows: Rows
) -> Iterator[tuple[int, Part, Rows]]:
    row = video.first_row
    for number, segment in enumerate(segments(video.parts, segment_frames)):
        yield number, segment, rows[row : row + segment.num_frames]
        row += segment.num_frames


def _check_description(
    shard: Shard,
    video: PackedVideo,
    segment: Part,
    key: str,
    tape: "_Tape",
    first_frame_offset: int,
) -> Iterator[str]:
    """Check a segment's JSON member, which ends where the header of its first frame begins."""
    member = segment_member(key)
    header = tape.take(tarfile.BLOCKSIZE)
    block = tape.take(first_frame_offset - tarfile.BLOCKSIZE - tape.position)
    # Its JSON is one line; zeros fill the last block.
    content = block[: block.find(b"\n") + 1]

    try:
        said = unseal(content, where=member)
    except ManifestError:
        yield f"{member}: its JSON is damaged"
        return

    if header != member_header(member, len(content)):
        yield f"{member}: its tar header is damaged"
    if block != content.ljust(padded(len(content)), b"\0"):
        yield f"{member}: its padding is damaged"
    for fact, value in describe(shard, video, segment).items():
        if said.get(fact) != value:
            yield (
                f"{member}: {fact}: the manifest has {value!r}, this has "
                f"{reprlib.repr(said.get(fact))}"
            )


def _check_frames(
    video: PackedVideo, segment: Part, key: str, tape: "_Tape", rows: Rows
) -> Iterator[str]:
    for number, row in enumerate(rows):
        member = frame_member(key, number)
        where = f"{member} (video {video.id!r}, frame {segment.first_frame + number})"
        size = int(row["size"])
        header = tape.take(tarfile.BLOCKSIZE)
        if row["offset"] != tape.position:
            raise _LostError  # members follow each other without a gap
        jpeg = tape.take(size)
        padding = tape.take(padded(size) - size)

        if header != member_header(member, size):
            yield f"{where}: its tar header is damaged"
        if any(padding):
            yield f"{where}: its padding is damaged"
        if zlib.crc32(jpeg) != row["crc32"]:
            yield f"{where}: CRC-32: expected {row['crc32']:08x}, got {zlib.crc32(jpeg):08x}"
            continue

        try:
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
                if picture.size == (
                    video.width,
                    video.height,
                ):  # a header may ask for any amount of memory
                    picture.load()
                else:
                    expected, got = (
                        f"{video.width}x{video.height}",
                        f"{picture.width}x{picture.height}",
                    )
                    yield f"{where}: expected {expected} pixels, got {got}"
        except Exception as error:  # Pillow raises many kinds where bytes make no sense
            yield f"{where}: cannot be decoded: {error}"


class _LostError(Exception):
    """The index leads out of the tar, or backwards, or asks for more than any frame or description takes."""


class _Tape:
    """A tar read once from its start to its end, hashed on the way."""

    def __init__(self, storage: Storage, shard: Shard) -> None:
        self.position = 0
        self._num_bytes = shard.num_bytes
        self._file = io.BufferedReader(RangeReader(storage, shard.name), READ_BYTES)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if not 0 <= count <= min(LARGEST_MEMBER, self._num_bytes - self.position):
            raise _LostError
        data = self._file.read(count)
        self._digest.update(data)
        self.position += count
        return data

    def rest_is_zero(self) -> bool:
        """Read what is left, and tell whether it is all zeros."""
        zero = True
        while left := self._num_bytes - self.position:
            zero &= not self.take(min(left, READ_BYTES)).strip(b"\0")
        return zero
