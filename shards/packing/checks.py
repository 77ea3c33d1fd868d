"""Checks of every byte of a shard and its index; each check yields one sentence for each thing that is wrong."""

import hashlib
import io
import reprlib
import tarfile
import zlib
from collections.abc import Generator, Iterator

from PIL import Image

from surgstream.shards.errors import ManifestError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.index import ROW, Rows
from surgstream.shards.format.names import frame_member, segment_key, segment_member
from surgstream.shards.format.records import PackedVideo, Part, Shard, describe, segments
from surgstream.shards.format.tape import LostError, Tape
from surgstream.shards.format.tar import member_header, padded
from surgstream.shards.storage.stores import Storage
from surgstream.shards.workers import ProgressCallback


def check_shard(
    shard: Shard, segment_frames: int, storage: Storage, progress: ProgressCallback
) -> Iterator[str]:
    """Check a shard and its index.

    Without a sound index the place of any damage in the tar stays unknown.

    Args:
        shard: The shard in the manifest.
        segment_frames: Most frames in a segment.
        storage: The corpus.
        progress: Called after every segment with its number of frames.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    rows = yield from _check_index(shard, storage)

    size = storage.size(shard.name)
    if size != shard.num_bytes:
        yield _other_size(shard.name, shard.num_bytes, size)
        return

    tape = Tape(storage, shard.name, shard.num_bytes)
    sound = True
    if rows is not None:
        for finding in _check_members(shard, segment_frames, tape, rows, progress):
            sound = False
            yield f"{shard.name}: {finding}"

    # Only hashes the rest: `_check_members` has told whether it is zeros.
    tape.rest_is_zero()

    # Damage that was told with its place makes the checksum wrong as well.
    if sound and tape.sha256 != shard.sha256:
        yield f"{shard.name}: SHA-256: expected {shard.sha256}, got {tape.sha256}"


def _check_index(shard: Shard, storage: Storage) -> Generator[str, None, Rows | None]:
    """Check a shard's index; return its rows if they are sound."""
    size = storage.size(shard.index_name)
    num_bytes = shard.num_frames * ROW.itemsize
    if size != num_bytes:
        yield _other_size(shard.index_name, num_bytes, size)
        return None

    data = storage.read(shard.index_name)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != shard.index_sha256:
        yield f"{shard.index_name}: SHA-256: expected {shard.index_sha256}, got {sha256}"
        return None

    return index.from_bytes(data, where=shard.index_name)


def _other_size(name: str, expected: int, size: int | None) -> str:
    if size is None:
        return f"{name}: is missing"
    return f"{name}: expected {expected} bytes, got {size}"


def _check_members(
    shard: Shard, segment_frames: int, tape: Tape, rows: Rows, progress: ProgressCallback
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
    except LostError:
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
    tape: Tape,
    first_frame_offset: int,
) -> Iterator[str]:
    """Check a segment's JSON member, which ends where the header of its first frame begins."""
    member = segment_member(key)
    header = tape.take(tarfile.BLOCKSIZE)
    block = tape.take(first_frame_offset - tarfile.BLOCKSIZE - tape.position)
    # Its JSON is one line; zeros fill the last block.
    content = block[: block.find(b"\n") + 1]

    try:
        said = load_checksummed(content, where=member)
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
    video: PackedVideo, segment: Part, key: str, tape: Tape, rows: Rows
) -> Iterator[str]:
    for number, row in enumerate(rows):
        member = frame_member(key, number)
        where = f"{member} (video {video.id!r}, frame {segment.first_frame + number})"
        size = int(row["size"])

        # Members follow each other without a gap.
        header = tape.take(tarfile.BLOCKSIZE)
        if row["offset"] != tape.position:
            raise LostError
        jpeg = tape.take(size)
        padding = tape.take(padded(size) - size)

        if header != member_header(member, size):
            yield f"{where}: its tar header is damaged"
        if any(padding):
            yield f"{where}: its padding is damaged"
        if zlib.crc32(jpeg) != row["crc32"]:
            yield f"{where}: CRC-32: expected {row['crc32']:08x}, got {zlib.crc32(jpeg):08x}"
            continue

        problem = _jpeg_problem(jpeg, video)
        if problem:
            yield f"{where}: {problem}"


def _jpeg_problem(jpeg: bytes, video: PackedVideo) -> str:
    """Say why a JPEG is no frame of a video; empty if it is one."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            # Not decoded before its size is known: a header may ask for any amount of memory.
            if picture.size != (video.width, video.height):
                expected = f"{video.width}x{video.height}"
                return f"expected {expected} pixels, got {picture.width}x{picture.height}"
            picture.load()
    # Pillow raises many kinds where bytes make no sense.
    except Exception as error:
        return f"cannot be decoded: {error}"
    return ""
