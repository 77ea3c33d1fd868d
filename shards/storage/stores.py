"""Stores of corpora: a local folder or an S3 prefix, behind one small interface.

A file becomes visible whole or not at all: a local file gets a temporary name and is renamed once it is on disk, an S3
object is a multipart upload that is completed at the end.
"""

import io
import os
from pathlib import Path

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.addresses import bucket_and_key, is_address, open_address
from surgstream.shards.storage.base import S3Config, Storage, read_range
from surgstream.shards.storage.local import LocalStorage

__all__ = [
    "LocalStorage",
    "RangeReader",
    "S3Config",
    "Storage",
    "Stores",
    "open_storage",
    "read_range",
]


def open_storage(uri: str, s3: S3Config | None = None) -> Storage:
    """Open a folder (`corpus/`, `file:///data/corpus`) or an S3 prefix (`s3://bucket/corpus`).

    Nothing is created or contacted yet. S3 is reached by the settings in `s3`, then by those in the file that
    `SURGSTREAM_STORES` names, then by boto3's own environment and files; credentials are boto3's alone.

    Args:
        uri: The address.
        s3: How to reach S3, and the retries for either kind of store.

    Returns:
        The store.

    Raises:
        StorageError: The address is empty or of another kind.
        ConfigError: It holds a user, and so a password; or the file that `SURGSTREAM_STORES` names is wrong.
    """
    if not uri:
        raise StorageError(
            "expected a folder or an address, got nothing; is a variable of the shell not set?"
        )

    settings = s3 or S3Config()
    if is_address(uri):
        return open_address(uri, settings)
    return LocalStorage(Path(uri), uri, settings.retry)


class Stores(dict[str, Storage]):
    """Stores by address, each opened once; `locate` finds the store of a single file."""

    def __missing__(self, uri: str) -> Storage:
        return self.setdefault(uri, open_storage(uri))

    def locate(self, location: str) -> tuple[Storage, str]:
        """The store that holds a file, and the file's name in it.

        Args:
            location: A local path or `s3://BUCKET/KEY`.
        """
        if is_address(location):
            bucket, key = bucket_and_key(location)
            return self[bucket], key
        return self[os.path.dirname(location) or "."], os.path.basename(location)


class RangeReader(io.RawIOBase):
    """A stored object as a seekable stream that fetches only what is read; wrap it in `io.BufferedReader`."""

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__()
        size = storage.size(name)
        if size is None:
            raise StorageError(f"{storage.uri}: {name} is missing")
        self._storage = storage
        self._name = name
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, from here or from the end."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(0, origins[whence] + offset)
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
