"""Stores of corpora: a local folder or an S3 prefix, behind one small interface.

A file becomes visible whole or not at all: a local file gets a temporary name and is renamed once it is on disk, an S3
object is a multipart upload that is completed at the end.
"""

import os
from pathlib import Path

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.addresses import bucket_and_key, is_address, open_address
from surgstream.shards.storage.base import RangeReader, S3Config, Storage, read_range
from surgstream.shards.storage.local import LocalStorage
from surgstream.shards.storage.tars import TarStorage

TAR = ".tar"
"""The end of a tar's name."""

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
    """Stores by address, each opened once; `locate` finds the store of a single file.

    A tar is a store as well: its members have addresses such as `s3://BUCKET/00000.tar/video.mp4`.
    """

    def __missing__(self, uri: str) -> Storage:
        return self.setdefault(uri, self._tar(uri) or open_storage(uri))

    def locate(self, location: str) -> tuple[Storage, str]:
        """The store that holds a file, and the file's name in it.

        Args:
            location: A local path or `s3://BUCKET/KEY`, which may lead into a tar.

        Raises:
            StorageError: A store fails.
        """
        tar, name = split_tar(location)
        while name:
            storage = self[tar]
            if isinstance(storage, TarStorage):
                return storage, name
            # A folder that is called so, below which there may be a tar.
            tar, name = split_tar(location, behind=tar)

        if is_address(location):
            bucket, key = bucket_and_key(location)
            return self[bucket], key
        return self[os.path.dirname(location) or "."], os.path.basename(location)

    def _tar(self, uri: str) -> Storage | None:
        """The tar at an address; None where there is none, but a folder perhaps."""
        if not uri.endswith(TAR) or uri == bucket_and_key(uri)[0]:
            return None
        outer, name = self.locate(uri)
        there = outer.size(name) is not None if is_address(uri) else os.path.isfile(uri)
        return TarStorage(outer, name) if there else None


def split_tar(location: str, behind: str = "") -> tuple[str, str]:
    """Split a path, or a glob, behind its first step that ends in `.tar`, if there are steps below it.

    Args:
        location: The path.
        behind: What it begins with, and what is not looked at.

    Returns:
        What leads to the tar, and the rest; the whole and nothing where it does not lead into a tar.
    """
    tar, found, rest = location[len(behind) :].partition(f"{TAR}/")
    name = rest.strip("/")
    return (behind + tar + TAR, name) if found and name else (location, "")
