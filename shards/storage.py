"""Where corpora live: a local folder or an S3 prefix, behind one small interface.

Whatever is written becomes visible whole or not at all: a local file gets a temporary name and is renamed once it is on
disk, an S3 object is a multipart upload that is completed at the end.
"""

import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import shutil
import threading
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from configs.errors import ConfigError
from shards.errors import StorageError
from shards.storage_base import (
    WITHOUT_USER,
    S3Config,
    Sink,
    Storage,
    check_size,
    check_version,
    read_range,
    safe_name,
    without_secrets,
)

__all__ = ["LocalStorage", "RangeReader", "S3Config", "Storage", "Stores", "open_storage", "read_range"]

logger = logging.getLogger(__name__)

LOCK_NAME = ".pack.lock"

_PARTIAL = ".partial"
_PARTIAL_NAME = re.compile(rf"(?P<folder>.*/)?\.(?P<name>[^/]+)\.[0-9a-f]{{32}}{re.escape(_PARTIAL)}")


def open_storage(uri: str, s3: S3Config | None = None) -> Storage:
    """Open a folder (`corpus/`, `file:///data/corpus`) or an S3 prefix (`s3://bucket/corpus`).

    Nothing is created or contacted yet. S3 takes its endpoint, region and credentials where boto3 does, from
    `AWS_ENDPOINT_URL` and its relatives or from `~/.aws`.

    Args:
        uri: The address.
        s3: How to reach S3, where the environment does not say it; defaults when None.

    Returns:
        The store.

    Raises:
        StorageError: The address is empty or of another kind.
        ConfigError: It holds a user, and so a password.
    """
    if not uri:
        raise StorageError("expected a folder or an address, got nothing; is a variable of the shell not set?")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return LocalStorage(Path(uri), uri)
    if scheme == "file" and rest.startswith("/"):
        return LocalStorage(Path(urllib.parse.unquote(rest)), uri)
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and "@" in bucket:
        raise ConfigError(f"s3://: {WITHOUT_USER}")
    if scheme == "s3" and bucket:
        from shards.storage_s3 import S3Storage  # boto3 takes half a second to import

        return S3Storage(bucket, prefix, uri, s3 or S3Config())
    raise StorageError(f"{without_secrets(uri)}: expected a folder, file:///FOLDER or s3://BUCKET/PREFIX")


class LocalStorage:
    """A folder of a file system; see `Storage`."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.uri = uri
        self.retries: Counter[str] = Counter()
        self._folder = folder

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        with self._telling("reading", name), self._path(name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_size(self.uri, name, size)
            return file.read(size)

    def read_into(self, name: str, start: int, out: memoryview, stop: threading.Event | None = None) -> None:
        """See `Storage.read_into`."""
        with self._telling("reading", name), self._path(name).open("rb", buffering=0) as file:
            file.seek(start)
            at = 0
            while at < len(out):
                count = file.readinto(out[at:])
                if not count:
                    raise StorageError(
                        f"{self.uri}: {name}: expected bytes {start} to {start + len(out)}, got {at} of {len(out)}; "
                        "it is cut short"
                    )
                at += count

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        stat = self._stat(name)
        return None if stat is None else stat.st_size

    def version(self, name: str) -> str | None:
        """See `Storage.version`."""
        stat = self._stat(name)
        return None if stat is None else f"{stat.st_size}-{stat.st_mtime_ns}"

    def write(self, name: str, data: bytes) -> None:
        """See `Storage.write`."""
        with self.writer(name) as file:
            file.write(data)

    def replace(self, name: str, data: bytes, was: str | None) -> None:
        """See `Storage.replace`. What comes between the look and the rename is for a lock to keep out."""
        check_version(self, name, was)
        self.write(name, data)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Sink]:
        """See `Storage.writer`."""
        path = self._path(name)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
        with self._telling("writing", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._telling("deleting", name):
            self._path(name).unlink(missing_ok=True)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Storage.sizes`."""
        inside = safe_name(self.uri, folder) + "/" if folder else ""
        with self._telling("listing", folder or "its files"):
            files = (file for file in _files(self._folder, inside) if not _PARTIAL_NAME.fullmatch(file[0]))
            return dict(sorted((name, entry.stat().st_size) for name, entry in files))

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`."""
        with self._telling("looking for room in", "its folder"):
            return shutil.disk_usage(self._folder).free

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """See `Storage.sweep`."""
        with self._telling("sweeping", "temporary files"):
            for name, _ in list(_files(self._folder)):
                partial = _PARTIAL_NAME.fullmatch(name)
                if partial and ours((partial["folder"] or "") + partial["name"]):
                    self._path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
        """See `Storage.locked`."""
        with contextlib.ExitStack() as held:
            with self._telling("locking", LOCK_NAME):
                self._folder.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(self._path(LOCK_NAME).open("a+b"))  # NFS shares only what can be read
                self._lock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait)
            yield

    def _lock(self, file: BinaryIO, kind: int, wait: bool) -> None:
        """Lock an open file. It is never removed: whoever waited for the old one would then lock nothing."""
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise StorageError(
                    f"{self.uri}: another packing is at work in it; wait for its end, or pack into another folder"
                ) from None
            logger.warning("%s: waiting for the end of another process that writes to it", self.uri)
            fcntl.flock(file, kind)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            logger.warning("%s: its file system has no locks; keep others from writing to it", self.uri)

    def _path(self, name: str) -> Path:
        return self._folder / safe_name(self.uri, name)

    def _stat(self, name: str) -> os.stat_result | None:
        with self._telling("looking up", name):
            try:
                return self._path(name).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextlib.contextmanager
    def _telling(self, doing: str, name: str) -> Iterator[None]:
        """Turn an OSError into a StorageError that says what was being done."""
        try:
            yield
        except FileNotFoundError as error:
            raise StorageError(f"{self.uri}: {name} is missing") from error
        except OSError as error:
            hint = "; free some and run again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise StorageError(f"{self.uri}: {doing} {name}: {error.strerror or error}{hint}") from error


class Stores(dict[str, Storage]):
    """Stores by address, each opened once; `locate` finds the store of a single file."""

    def __missing__(self, uri: str) -> Storage:
        return self.setdefault(uri, open_storage(uri))

    def locate(self, location: str) -> tuple[Storage, str]:
        """The store that holds a file, and the file's name in it.

        Args:
            location: A local path or `s3://BUCKET/KEY`.
        """
        scheme, separator, rest = location.partition("://")
        if not separator:
            return self[os.path.dirname(location) or "."], os.path.basename(location)
        bucket, _, key = rest.partition("/")
        return self[f"{scheme}://{bucket}"], key


class RangeReader(io.RawIOBase):
    """A stored object as a seekable stream that fetches only what is read; wrap it in `io.BufferedReader`."""

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__()
        size = storage.size(name)
        if size is None:
            raise StorageError(f"{storage.uri}: {name} is missing")
        self._storage, self._name, self._size, self._position = storage, name, size, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, from here or from the end."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from here; 0 at the end."""
        stop = min(self._position + len(buffer), self._size)
        count = max(0, stop - self._position)
        if count:
            self._storage.read_into(self._name, self._position, memoryview(buffer)[:count])
            self._position = stop
        return count


def _files(
    folder: Path, inside: str = "", above: frozenset[str] = frozenset()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below a folder, by their names in it. Symbolic links are followed, though never in circles.

    Args:
        folder: Where the names start.
        inside: A folder in it, with its slash: the files of that one.
        above: The resolved folders on the way there.
    """
    here = os.path.realpath(folder / inside)
    if here in above:
        return
    try:
        entries = list(os.scandir(here))
    except (FileNotFoundError, PermissionError):  # not there yet; or `lost+found`, which only root may list
        return
    for entry in entries:
        if entry.is_dir():
            yield from _files(folder, f"{inside}{entry.name}/", above | {here})
        elif entry.is_file():
            yield inside + entry.name, entry


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
