"""What must hold of every byte of a packed corpus; each check yields one sentence for each thing that is wrong."""

import hashlib
import io
import itertools
import tarfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from configs.loading import to_tree
from shards import index
from shards.errors import ManifestError
from shards.index import ROW, Rows
from shards.manifest import PackedVideo, Part, Shard, describe, segments
from shards.processes import Progress
from shards.schema import PLAN_NAME, QUARANTINE_NAME, frame_member, receipt_name, segment_key, segment_member
from shards.sealed import unseal
from shards.storage import RangeReader, Storage
from shards.writer import closed_size, member_header, padded

READ_BYTES = 8 * 2**20


def check_records(storage: Storage) -> Iterator[str]:
    """Check the plan and the quarantine report, where there are any.

    Args:
        storage: The corpus.

    Yields:
        What is wrong.
    """
    for name in (PLAN_NAME, QUARANTINE_NAME):
        if storage.size(name) is not None:
            for number, line in enumerate(storage.read(name).splitlines(keepends=True), start=1):
                try:
                    unseal(line, where=f"{name}: line {number}")
                except ManifestError as error:
                    yield str(error)


def check_shard(shard: Shard, segment_frames: int, storage: Storage, progress: Progress) -> Iterator[str]:
    """Check a shard, its index and its receipt.

    Args:
        shard: What the manifest says of it.
        segment_frames: Most frames in a segment.
        storage: The corpus.
        progress: Called after every frame.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    yield from _check_receipt(shard, storage)
    if storage.size(shard.name) is None:
        yield f"{shard.name}: is missing"
        return
    data = b"" if storage.size(shard.index_name) is None else storage.read(shard.index_name)
    if hashlib.sha256(data).hexdigest() == shard.index_sha256:
        rows = index.from_bytes(data, where=shard.index_name)
    else:
        rows = _rows_of_tar(shard, storage)
        yield _index_damage(shard, data, rows)
    if len(rows) != shard.num_frames:
        yield f"{shard.name}: expected {shard.num_frames} frames, found {len(rows)}; the rest is not looked at"
        return
    yield from _check_tar(shard, segment_frames, storage, rows, progress)


def _check_tar(shard: Shard, segment_frames: int, storage: Storage, rows: Rows, progress: Progress) -> Iterator[str]:
    """Compare the tar, byte by byte from its start to its end, with what packing writes."""
    tape = _Tape(storage, shard.name)
    sound = True
    try:
        for video in shard.videos:
            for number, segment, its_rows in _segments_and_rows(video, segment_frames, rows):
                key = segment_key(video.id, number)
                findings = itertools.chain(
                    _check_description(shard, video, segment, key, tape, int(its_rows[0]["offset"])),
                    _check_frames(video, segment, key, tape, its_rows),
                )
                for finding in findings:
                    sound = False
                    yield f"{shard.name}: {finding}"
                progress(segment.num_frames)
        end = tape.take(closed_size(tape.position) - tape.position)
        if any(end) or tape.rest():
            sound = False
            yield f"{shard.name}: its end, after the last member: expected zeros up to byte {shard.num_bytes}"
    except EOFError:
        yield f"{shard.name}: is cut short: expected {shard.num_bytes} bytes, got {storage.size(shard.name)}"
        return
    if sound and tape.sha256 != shard.sha256:
        yield f"{shard.name}: SHA-256: expected {shard.sha256}, got {tape.sha256}"


def _segments_and_rows(video: PackedVideo, segment_frames: int, rows: Rows) -> Iterator[tuple[int, Part, Rows]]:
    row = video.first_row
    for number, segment in enumerate(segments(video.parts, segment_frames)):
        yield number, segment, rows[row : row + segment.num_frames]
        row += segment.num_frames


def _check_description(
    shard: Shard, video: PackedVideo, segment: Part, key: str, tape: "_Tape", first_frame_offset: int
) -> Iterator[str]:
    """Check a segment's JSON member, which ends where the header of its first frame begins."""
    member = segment_member(key)
    header = tape.take(tarfile.BLOCKSIZE)
    block = tape.take(first_frame_offset - tarfile.BLOCKSIZE - tape.position)
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
            yield f"{member}: {fact}: the manifest has {value!r}, this has {said.get(fact)!r}"


def _check_frames(video: PackedVideo, segment: Part, key: str, tape: "_Tape", rows: Rows) -> Iterator[str]:
    for number, row in enumerate(rows):
        member = frame_member(key, number)
        where = f"{member} (video {video.id!r}, frame {segment.first_frame + number})"
        size = int(row["size"])
        header = tape.take(tarfile.BLOCKSIZE)
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
                picture.load()
                if picture.size != (video.width, video.height):
                    yield f"{where}: expected {video.width}x{video.height} pixels, got {picture.size}"
        except OSError as error:
            yield f"{where}: cannot be decoded: {error}"


def _check_receipt(shard: Shard, storage: Storage) -> Iterator[str]:
    name = receipt_name(shard.name)
    if storage.size(name) is None:
        return
    try:
        if unseal(storage.read(name), where=name).get("shard") != to_tree(shard):
            yield f"{name}: describes another shard than the manifest does"
    except ManifestError as error:
        yield str(error)


def _rows_of_tar(shard: Shard, storage: Storage) -> Rows:
    """The index that the tar itself asks for; it ends where the tar can no longer be followed."""
    rows = []
    file = io.BufferedReader(RangeReader(storage, shard.name), READ_BYTES)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    content = tar.extractfile(member)
                    jpeg = content.read() if content else b""
                    rows.append((member.offset_data, member.size, zlib.crc32(jpeg)))
    except tarfile.TarError:
        pass
    return np.array(rows, dtype=ROW)


def _index_damage(shard: Shard, data: bytes, expected: Rows) -> str:
    """Name the first row of a damaged index that does not fit its tar."""
    if not data:
        return f"{shard.index_name}: is missing"
    if len(data) != shard.num_frames * ROW.itemsize:
        return f"{shard.index_name}: expected {shard.num_frames * ROW.itemsize} bytes, got {len(data)}"
    rows = index.from_bytes(data, where=shard.index_name)
    count = min(len(rows), len(expected))
    differing = np.flatnonzero(rows[:count] != expected[:count])
    if not len(differing):
        return f"{shard.index_name}: its SHA-256 is wrong, and the tar is too damaged to tell which row"
    row = int(differing[0])
    video, frame = _frame_of_row(shard, row)
    return (
        f"{shard.index_name}: row {row} (video {video.id!r}, frame {frame}): "
        f"expected {expected[row].item()}, got {rows[row].item()} as offset, size and CRC-32"
    )


def _frame_of_row(shard: Shard, row: int) -> tuple[PackedVideo, int]:
    video = next(video for video in reversed(shard.videos) if video.first_row <= row)
    numbers = (part.first_frame + n for part in video.parts for n in range(part.num_frames))
    return video, next(itertools.islice(numbers, row - video.first_row, None))


class _Tape:
    """A tar read once from its start to its end, hashed on the way."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.position = 0
        self._file = io.BufferedReader(RangeReader(storage, name), READ_BYTES)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, count: int) -> bytes:
        """The next `count` bytes; EOFError when there are fewer."""
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError
        self._digest.update(data)
        self.position += count
        return data

    def rest(self) -> bytes:
        """What is left."""
        data = self._file.read()
        self._digest.update(data)
        return data
