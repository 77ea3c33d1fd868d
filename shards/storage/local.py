"""Folders of a disk or of a network file system, which may fail for a while as other stores do."""

import contextlib
import errno
import os
import re
import shutil
import stat
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from surgstream.configs.files import open_regular
from surgstream.shards.errors import StorageError, UnusableFileError
from surgstream.shards.globs import FolderTree, walk
from surgstream.shards.storage.base import Sink, check_size, check_version, safe_name
from surgstream.shards.storage.durable import link_if_free, sync, sync_folder
from surgstream.shards.storage.pins import Pins
from surgstream.shards.storage.retry import Failure, Retries, RetryConfig

T = TypeVar("T")

_PARTIAL = ".partial"
_PARTIAL_NAME = re.compile(
    rf"(?P<folder>.*/)?\.(?P<name>[^/]+)\.[0-9a-f]{{32}}{re.escape(_PARTIAL)}"
)

_PASSING = {
    # Soft mounts, FUSE, BeeGFS
    errno.EIO,
    errno.EREMOTEIO,
    errno.ECOMM,
    errno.EPROTO,
    errno.EAGAIN,
    # NFS, evictions by Lustre
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ESHUTDOWN,
    errno.EKEYEXPIRED,
    # CIFS
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.ENOLINK,
    # sshfs
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EPIPE,
    errno.ENOBUFS,
}
"""The errors of file systems whose server is away."""

_OF_ONE_FILE = {
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.EINVAL,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}
"""Errors of one file, and not of a store."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


class LocalStorage:
    """A folder of a file system; see `shards.storage.base.Storage`.

    Reads are patient: where a file system fails as one does whose server is away, the file is opened again.
    """

    def __init__(self, folder: Path, uri: str, retry: RetryConfig | None = None) -> None:
        self.uri = uri
        self.retries: Counter[str] = Counter()
        self._folder = folder
        self._retry = retry or RetryConfig()
        self._pins = Pins(uri)

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        path = self._path(name)

        def attempt(_: Retries) -> bytes:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                check_size(self.uri, name, size)
                return file.read(size)

        return self._patiently("reading", name, attempt)

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """See `Storage.read_into`."""
        path = self._path(name)
        at = 0

        def attempt(retries: Retries) -> None:
            # Kept between attempts: the file is opened again, and read on from there.
            nonlocal at
            with open_regular(path) as file:
                descriptor = file.fileno()
                self._pins.check(name, descriptor, start)
                while at < len(out):
                    count = os.preadv(descriptor, [out[at:]], start + at)
                    if not count:
                        raise StorageError(
                            f"{self.uri}: {name}: expected bytes {start} to {start + len(out)}, "
                            f"got {at} of {len(out)}; it is cut short"
                        )
                    at += count
                    retries.progressed()

        self._patiently(f"reading bytes {start} to {start + len(out)} of", name, attempt, stop)

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        status = self._status(name)
        return None if status is None else status.st_size

    def version(self, name: str) -> str | None:
        """See `Storage.version`."""
        status = self._status(name)
        return None if status is None else f"{status.st_size}-{status.st_mtime_ns}"

    def write(self, name: str, data: bytes) -> None:
        """See `Storage.write`."""
        with self.writer(name) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`."""
        with self._partial(name) as (partial, path):
            with partial.open("xb") as file:
                file.write(data)
                sync(file)
            return link_if_free(partial, path)

    def replace(self, name: str, data: bytes, was: str | None) -> None:
        """See `Storage.replace`. Writers between the check and the rename are kept out by `.owner`."""
        check_version(self, name, was)
        self.write(name, data)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Sink]:
        """See `Storage.writer`."""
        with self._partial(name) as (partial, path):
            with partial.open("xb") as file:
                yield file
                sync(file)
            partial.replace(path)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._telling("deleting", name):
            Path(self._path(name)).unlink(missing_ok=True)
        self._pins.forget(name)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Storage.sizes`."""
        found = {}
        for name in self._names(folder):
            status = None if _PARTIAL_NAME.fullmatch(name) else self._status(name)
            if status is not None and stat.S_ISREG(status.st_mode):
                found[name] = status.st_size
        return dict(sorted(found.items()))

    def tree(self) -> FolderTree:
        """See `Storage.tree`."""
        return FolderTree(self._folder, self._entries)

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`."""

        def attempt(_: Retries) -> int:
            return shutil.disk_usage(self._folder).free

        return self._patiently("looking for room in", "its folder", attempt)

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """See `Storage.sweep`."""
        for name in list(self._names()):
            partial = _PARTIAL_NAME.fullmatch(name)
            if partial and ours((partial["folder"] or "") + partial["name"]):
                with self._telling("sweeping", name):
                    Path(self._path(name)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _partial(self, name: str) -> Iterator[tuple[Path, Path]]:
        """A temporary name, which is gone when the block ends, and the name of the file."""
        path = Path(self._path(name))
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
        with self._telling("writing", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield partial, path
            finally:
                # What stays is hidden, and swept by the next packing.
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
            self._pins.forget(name)
            sync_folder(path.parent)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, safe_name(self.uri, name))

    def _status(self, name: str) -> os.stat_result | None:
        path = self._path(name)

        def attempt(_: Retries) -> os.stat_result | None:
            try:
                return os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None

        return self._patiently("looking up", name, attempt)

    def _names(self, folder: str = "") -> Iterator[str]:
        """All files, or those inside a folder."""
        inside = safe_name(self.uri, folder) + "/" if folder else ""
        return (inside + name for name in walk(FolderTree(self._folder, self._entries, inside)))

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder, and whether each is a folder's; none where the folder is absent."""

        def attempt(_: Retries) -> list[tuple[str, bool]]:
            try:
                with os.scandir(self._folder / folder) as entries:
                    return [(entry.name, _is_folder(entry)) for entry in entries]
            except (FileNotFoundError, NotADirectoryError):
                return []
            except PermissionError as error:
                # Only root may list it, and it holds no videos.
                if f"/{folder}".endswith("/lost+found/"):
                    return []
                raise UnusableFileError(
                    f"{self.uri}: {folder or 'it'} cannot be listed ({error.strerror}), and what "
                    "lies in it would be left out; make it readable, or name other folders"
                ) from error

        return self._patiently("listing", folder or "its files", attempt)

    def _patiently(
        self,
        doing: str,
        name: str,
        attempt: Callable[[Retries], T],
        stop: threading.Event | None = None,
    ) -> T:
        """Attempt something until it works, fails for good, or has failed for too long."""
        what = f"{self.uri}: {doing} {name}"
        retries = Retries(what, self._retry, causes=self.retries, stop=stop)
        while True:
            try:
                return attempt(retries)
            except OSError as error:
                if error.errno not in _PASSING:
                    raise self._told(doing, name, error) from error
                retries.failed(Failure(errno.errorcode[error.errno], os.strerror(error.errno)))

    @contextlib.contextmanager
    def _telling(self, doing: str, name: str) -> Iterator[None]:
        """Turn an OSError into a StorageError."""
        try:
            yield
        except OSError as error:
            raise self._told(doing, name, error) from error

    def _told(self, doing: str, name: str, error: OSError) -> StorageError:
        """A StorageError that says what was being done."""
        if isinstance(error, FileNotFoundError):
            return StorageError(f"{self.uri}: {name} is missing")
        what = f"{self.uri}: {doing} {name}: {error.strerror or error}"
        if error.errno in _FULL:
            return StorageError(f"{what}; free some and run again")
        kind = UnusableFileError if error.errno in _OF_ONE_FILE else StorageError
        return kind(what)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link to itself.
        if error.errno == errno.ELOOP:
            return False
        raise
