"""`surgstream stage`: copy a packed corpus to a place that the nodes of a job can read, or read faster."""

import argparse
import hashlib
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import CorruptSampleError, StorageError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.manifest import ManifestFile, packed_shards
from surgstream.shards.format.names import MANIFEST_NAME, PLAN_NAME, index_name, is_shard_name
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
    """A shard or an index, as the manifest describes it."""

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
    manifest = ManifestFile.load(source)
    files = tuple(_files(manifest))
    if target.size(PLAN_NAME) is not None:
        raise ConfigError(
            f"{target.uri}: a corpus was packed there, which has a {PLAN_NAME}; stage into another "
            "place"
        )

    with owning(target, "staging", wait=True) as owner:
        _check_shards(target, files)
        target.sweep({MANIFEST_NAME, *(file.name for file in files)}.__contains__)
        sizes = target.sizes()
        of_right_size = {file.name for file in files if sizes.get(file.name) == file.num_bytes}
        others = [file for file in files if file.name not in of_right_size]
        _check_room(target, _bytes_of(others))

        has_size = sizes.get(MANIFEST_NAME) == len(manifest.data)
        was_staged = has_size and target.read(MANIFEST_NAME) == manifest.data
        if not was_staged:
            # Nobody is to read what is now half of one corpus and half of another.
            target.delete(MANIFEST_NAME)

        # A manifest is written last: where it is there, files of the right size were sound.
        work = others if was_staged and not checksum else files
        copying = _Copying(source, target, of_right_size, _bytes_of(work))
        copied_bytes = copying.run(work, num_at_once)

        owner.check()
        if not was_staged:
            target.write(MANIFEST_NAME, manifest.data)
    return Staged(files, copied_bytes)


def _files(manifest: ManifestFile) -> Iterator[File]:
    for shard in manifest.shards():
        yield File(shard.name, shard.num_bytes, shard.sha256)
        yield File(index_name(shard.name), shard.num_frames * ROW.itemsize, shard.index_sha256)


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
