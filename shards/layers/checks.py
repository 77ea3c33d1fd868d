"""Checks of every byte of a layer; each check yields one sentence for each thing that is wrong."""

import hashlib
import tarfile
import zlib
from collections.abc import Collection, Generator, Iterator, Mapping

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import ManifestError, StorageError
from surgstream.shards.format import index
from surgstream.shards.format.index import ROW, Rows
from surgstream.shards.format.layers import LayerManifest, LayerShard
from surgstream.shards.format.names import (
    PLAN_NAME,
    layer_manifest_name,
    layer_of_file,
    layer_of_manifest,
    receipt_name,
)
from surgstream.shards.format.png import from_png
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import PackedVideo, Shard
from surgstream.shards.format.tape import LostError, Tape
from surgstream.shards.format.tar import member_header, padded
from surgstream.shards.layers.shard import LayerReceipt, members
from surgstream.shards.storage.stores import Storage
from surgstream.shards.workers import ProgressCallback


def load_layers(
    storage: Storage, corpus: str, shards: Mapping[str, Shard], found: list[LayerManifest]
) -> Iterator[str]:
    """Check the manifests of all layers of a corpus.

    Args:
        storage: The corpus.
        corpus: SHA-256 of its manifest.
        shards: Its shards by name.
        found: The manifests of those layers that can be checked further are added.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    present = storage.sizes()
    names = sorted(layer for name in present if (layer := layer_of_manifest(name)) is not None)
    for layer in names:
        name = layer_manifest_name(layer)
        try:
            manifest = LayerManifest.load(storage, layer)
        except ManifestError as error:
            yield str(error).removeprefix(f"{storage.uri}: ")
            continue

        if manifest.corpus != corpus:
            yield f"{name}: is of another version of the corpus; run `surgstream pack` again"
            continue
        problems = [f"{name}: {problem}" for problem in manifest.mismatches(shards)]
        yield from problems
        if not problems:
            yield from _check_receipts(manifest, storage, present)
            found.append(manifest)

    for layer in sorted({layer for _, layer in filter(None, map(layer_of_file, present))}):
        if layer not in names:
            name = layer_manifest_name(layer)
            yield f"{name}: is missing, and files of the layer are there; run `surgstream pack` again"


def _check_receipts(
    manifest: LayerManifest, storage: Storage, present: Collection[str]
) -> Iterator[str]:
    """Compare the receipts with the manifest. A corpus that was staged has none of them."""
    names = {receipt_name(manifest.tar_name(shard)): shard for shard in manifest.shards}
    if not {PLAN_NAME, *names} & {*present}:
        return

    quarantine: list[Quarantined] = []
    sound = True
    for name, shard in names.items():
        problem = ""
        try:
            receipt = LayerReceipt.parse(storage.read(name), where=name)
            quarantine += receipt.quarantine
            if receipt.layer != shard:
                problem = (
                    f"{name}: describes another shard than {layer_manifest_name(manifest.layer)}"
                )
        except (ManifestError, ConfigError) as error:
            problem = str(error)
        except StorageError:
            if name in present:
                raise
            problem = f"{name}: is missing; run `surgstream pack` again"
        if problem:
            sound = False
            yield problem

    if sound and tuple(quarantine) != manifest.quarantine:
        name = layer_manifest_name(manifest.layer)
        yield f"{name}: quarantine: expected what the receipts say, got something else"


def check_layer(
    manifest: LayerManifest,
    own: LayerShard,
    shard: Shard,
    segment_frames: int,
    storage: Storage,
    progress: ProgressCallback,
) -> Iterator[str]:
    """Check the pictures of a layer for a shard, and their index.

    Args:
        manifest: The manifest of the layer.
        own: Its entry for the shard.
        shard: The shard of the frames.
        segment_frames: Most frames in a segment.
        storage: The corpus.
        progress: Called after every video with its number of frames.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    name = manifest.tar_name(own)
    rows = yield from _check_index(manifest, own, storage)
    size = storage.size(name)
    if size != own.num_bytes:
        got = "is missing" if size is None else f"expected {own.num_bytes} bytes, got {size}"
        yield f"{name}: {got}"
        return

    tape = Tape(storage, name, own.num_bytes)
    sound = True
    if rows is not None:
        for finding in _check_members(manifest, shard, segment_frames, tape, rows, progress):
            sound = False
            yield f"{name}: {finding}"

    # Only hashes the rest: `_check_members` has told whether it is zeros.
    tape.rest_is_zero()

    # Damage that was told with its place makes the checksum wrong as well.
    if sound and tape.sha256 != own.sha256:
        yield f"{name}: SHA-256: expected {own.sha256}, got {tape.sha256}"


def _check_index(
    manifest: LayerManifest, own: LayerShard, storage: Storage
) -> Generator[str, None, Rows | None]:
    """Check the index; return its rows if they are sound."""
    name = manifest.index_name(own)
    size = storage.size(name)
    num_bytes = own.num_frames * ROW.itemsize
    if size != num_bytes:
        got = "is missing" if size is None else f"expected {num_bytes} bytes, got {size}"
        yield f"{name}: {got}"
        return None

    data = storage.read(name)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != own.index_sha256:
        yield f"{name}: SHA-256: expected {own.index_sha256}, got {sha256}"
        return None

    rows = index.from_bytes(data, where=name)
    num_pictures = int((rows["size"] > 0).sum())
    if num_pictures != own.num_pictures:
        yield f"{name}: expected {own.num_pictures} pictures, got {num_pictures}"
        return None
    return rows


def _check_members(
    manifest: LayerManifest,
    shard: Shard,
    segment_frames: int,
    tape: Tape,
    rows: Rows,
    progress: ProgressCallback,
) -> Iterator[str]:
    """Compare the tar, byte by byte from its start to its end, with what packing writes."""
    row = 0
    try:
        for video in shard.videos:
            for member, frame in members(video, segment_frames):
                what = f"{member} (video {video.id!r}, frame {frame})"
                for finding in _check_member(manifest, video, member, tape, rows[row : row + 1]):
                    yield f"{what}: {finding}"
                row += 1
            progress(video.num_frames)
    except LostError:
        yield f"from byte {tape.position} on it does not fit its index; the rest is not looked at"
        return

    if not tape.rest_is_zero():
        yield "its end, after the last member: expected zeros"


def _check_member(
    manifest: LayerManifest, video: PackedVideo, member: str, tape: Tape, row: Rows
) -> Iterator[str]:
    """Check the picture of one frame, (1,) rows, or that it has none."""
    offset, size, crc32 = (int(row[field][0]) for field in ("offset", "size", "crc32"))
    if size == 0:
        if offset != tape.position or crc32:
            raise LostError
        return

    # Members follow each other without a gap.
    header = tape.take(tarfile.BLOCKSIZE)
    if offset != tape.position:
        raise LostError
    png = tape.take(size)
    padding = tape.take(padded(size) - size)

    if header != member_header(member, size):
        yield "its tar header is damaged"
    if any(padding):
        yield "its padding is damaged"
    if zlib.crc32(png) != crc32:
        yield f"CRC-32: expected {crc32:08x}, got {zlib.crc32(png):08x}"
        return
    try:
        from_png(png, (video.width, video.height), manifest.bits)
    except ValueError as error:
        yield str(error)
