"""`surgstream stage`: copy a packed corpus to a place that the nodes of a job can read, or read faster."""

import argparse
import hashlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import CorruptSampleError, ManifestError, StorageError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerManifest, find_layers
from surgstream.shards.format.manifest import ManifestFile, packed_shards
from surgstream.shards.format.names import (
    CROISSANT_NAME,
    MANIFEST_NAME,
    PLAN_NAME,
    index_name,
    is_shard_name,
    layer_manifest_name,
    layer_of_file,
    layer_of_manifest,
)
from surgstream.shards.progress import progress_bar
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import Storage, open_storage

PIECE_BYTES = 8 * 2**20


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream stage`."""
    source = open_storage(words.source)
    target = open_storage(words.target)
    staged = stage(source, target, num_at_once=words.files, checksum=words.checksum)
    sys.stdout.write(staged.summary())
    return 0


@dataclass(frozen=True)
class File:
    """A shard or an index, of frames or of a layer, as its manifest describes it."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Staged:
    """A staged corpus: its files, and the bytes that had to be copied."""

    files: tuple[File, ...]
    copied_bytes: int

    def summary(self) -> str:
        """Format a line about it."""
        shards = sum(is_shard_name(file.name) for file in self.files)
        megabytes = sum(file.num_bytes for file in self.files) / 1e6
        copied = f"{self.copied_bytes / 1e6:.1f} MB copied, the rest was already there"
        return f"{shards} shards, {megabytes:.1f} MB: {copied}\n"


def stage(source: Storage, target: Storage, *, num_at_once: int, checksum: bool) -> Staged:
    """Copy a corpus, the manifest last, without the files that are already there.

    Args:
        source: The packed corpus.
        target: The store to copy it to.
        num_at_once: Number of files that are copied at the same time.
        checksum: Verify files of the right size even where the manifest is there too.

    Returns:
        The staged corpus.

    Raises:
        ConfigError: The target holds something else than a copy of the source.
        CorruptSampleError: A file of the source is damaged.
        ShardError: The source has no manifest, a store fails, or the target has no room.
    """
    bundles = list(_bundles(source))
    files = tuple(file for bundle in bundles for file in bundle.files)
    if target.size(PLAN_NAME) is not None:
        raise ConfigError(
            f"{target.uri}: a corpus was packed there, which has a {PLAN_NAME}; stage into another "
            "place"
        )

    with owning(target, "staging", wait=True) as owner:
        _check_shards(target, files)
        target.sweep({*_record_names(bundles), *(file.name for file in files)}.__contains__)
        sizes = target.sizes()
        of_right_size = {file.name for file in files if sizes.get(file.name) == file.num_bytes}
        others = [file for file in files if file.name not in of_right_size]
        _check_room(target, _bytes_of(others))

        new = [bundle for bundle in bundles if not bundle.is_staged(target, sizes)]
        # Nobody is to read what is now half of one corpus and half of another.
        for bundle in new:
            target.delete(bundle.record)
        _remove_layers(target, sizes, bundles)

        work = []
        for bundle in bundles:
            # A record is written last: where it is there, files of the right size were sound.
            is_trusted = bundle not in new and not checksum
            work += [
                file for file in bundle.files if not is_trusted or file.name not in of_right_size
            ]
        copying = _Copying(source, target, of_right_size, _bytes_of(work))
        copied_bytes = copying.run(work, num_at_once)

        owner.check()
        for bundle in new:
            target.write(bundle.record, bundle.data)
        _copy_description(source, target)
    return Staged(files, copied_bytes)


def _copy_description(source: Storage, target: Storage) -> None:
    """Copy what describes the corpus to catalogues, where the source has it."""
    if source.size(CROISSANT_NAME) is None:
        target.delete(CROISSANT_NAME)
        return

    description = source.read(CROISSANT_NAME)
    if (
        target.size(CROISSANT_NAME) != len(description)
        or target.read(CROISSANT_NAME) != description
    ):
        target.write(CROISSANT_NAME, description)


@dataclass(frozen=True)
class _Bundle:
    """Files, and the record that describes them: the manifest of a corpus, or that of a layer.

    Attributes:
        record: Name of the record.
        data: Its bytes.
        files: The files.
    """

    record: str
    data: bytes
    files: tuple[File, ...]

    def is_staged(self, target: Storage, sizes: Mapping[str, int]) -> bool:
        """Whether the target has this record."""
        has_size = sizes.get(self.record) == len(self.data)
        return has_size and target.read(self.record) == self.data


def _bundles(source: Storage) -> Iterator[_Bundle]:
    """What the source holds: its layers, and last the corpus itself, whose manifest is written last."""
    manifest = ManifestFile.load(source)
    for name in find_layers(source):
        layer = LayerManifest.load(source, name)
        if layer.corpus != manifest.sha256:
            raise ManifestError(
                f"{source.uri}: {layer_manifest_name(name)}: expected a layer of this version of "
                "the corpus, got one of another; run `surgstream pack` again, or let it finish"
            )
        yield _Bundle(layer_manifest_name(name), layer.to_bytes(), tuple(_layer_files(layer)))
    yield _Bundle(MANIFEST_NAME, manifest.data, tuple(_files(manifest)))


def _record_names(bundles: Sequence[_Bundle]) -> Iterator[str]:
    return (bundle.record for bundle in bundles)


def _remove_layers(target: Storage, sizes: Mapping[str, int], bundles: Sequence[_Bundle]) -> None:
    """Remove layers that the source does not have, of all files first the manifest."""
    known = {*_record_names(bundles)}
    known |= {file.name for bundle in bundles for file in bundle.files}
    manifests = [name for name in sizes if layer_of_manifest(name) is not None]
    others = [name for name in sizes if layer_of_file(name) is not None]
    for name in (*manifests, *others):
        if name not in known:
            target.delete(name)


def _files(manifest: ManifestFile) -> Iterator[File]:
    for shard in manifest.shards():
        yield File(shard.name, shard.num_bytes, shard.sha256)
        yield File(index_name(shard.name), shard.num_frames * ROW.itemsize, shard.index_sha256)


def _layer_files(layer: LayerManifest) -> Iterator[File]:
    for shard in layer.shards:
        yield File(layer.tar_name(shard), shard.num_bytes, shard.sha256)
        num_bytes = shard.num_frames * ROW.itemsize
        yield File(layer.index_name(shard), num_bytes, shard.index_sha256)


def _bytes_of(files: Sequence[File]) -> int:
    return sum(file.num_bytes for file in files)


def _check_shards(target: Storage, files: Sequence[File]) -> None:
    others = packed_shards(target) - {file.name for file in files}
    if others:
        raise ConfigError(
            f"{target.uri}: holds shards, such as {min(others)}, that the corpus does not have; "
            "stage into another place, or remove them first"
        )


def _check_room(target: Storage, num_bytes: int) -> None:
    free = target.free_bytes()
    if free is not None and free < num_bytes:
        raise StorageError(
            f"{target.uri}: expected {num_bytes / 1e9:.3g} GB of free space, got {free / 1e9:.3g}; "
            "free some, or stage into another place"
        )


class _Copying:
    """The copying of files by threads, behind one progress bar over their bytes."""

    def __init__(
        self, source: Storage, target: Storage, of_right_size: set[str], num_bytes: int
    ) -> None:
        self._source = source
        self._target = target
        self._of_right_size = of_right_size
        self._bar = progress_bar("stage", num_bytes, unit="B", unit_scale=True)
        self._bar_lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, files: Sequence[File], num_at_once: int) -> int:
        """Bring all files to the target, and return the bytes that had to be copied. The first failure ends it."""
        with self._bar, ThreadPoolExecutor(num_at_once) as pool:
            try:
                coming = [pool.submit(self._bring, file) for file in files]
                return sum(done.result() for done in as_completed(coming))
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _bring(self, file: File) -> int:
        if file.name in self._of_right_size and self._is_sound(file):
            return 0
        try:
            self._copy(file)
        except CorruptSampleError:
            # A bit may have flipped on the way.
            self._copy(file)
        return file.num_bytes

    def _is_sound(self, file: File) -> bool:
        try:
            for _ in self._pieces(self._target, file):
                pass
        except CorruptSampleError:
            return False
        return True

    def _copy(self, file: File) -> None:
        with self._target.writer(file.name) as sink:
            for piece in self._pieces(self._source, file):
                sink.write(piece)

    def _pieces(self, storage: Storage, file: File) -> Iterator[memoryview]:
        """Read a file piece by piece, each into the same buffer.

        Raises:
            CorruptSampleError: The file is damaged, which shows at its end.
        """
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(PIECE_BYTES, file.num_bytes)))
        for start in range(0, file.num_bytes, PIECE_BYTES):
            if self._stop.is_set():
                raise CancelledError
            piece = buffer[: file.num_bytes - start]
            storage.read_into(file.name, start, piece, self._stop)
            digest.update(piece)
            yield piece
            self._progress(len(piece))

        if digest.hexdigest() != file.sha256:
            # The file is copied, and counted, once more.
            self._progress(-file.num_bytes)
            raise CorruptSampleError(
                f"{storage.uri}: {file.name}: SHA-256: expected {file.sha256}, got "
                f"{digest.hexdigest()}; it is damaged: delete it, run `surgstream pack` again, "
                "then stage again"
            )

    def _progress(self, num_bytes: int) -> None:
        with self._bar_lock:
            self._bar.update(num_bytes)
