"""Addresses: `s3://BUCKET/KEY` and the like told from paths of this machine, and the store that each kind opens.

No other module looks into the form of an address. Stores are imported when they are opened, since commands parse their
words by this module, and boto3 takes half a second.
"""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.base import WITHOUT_USER, S3Config, Storage, without_secrets

_SEPARATOR = "://"
_FILE = "file"


def is_address(place: str) -> bool:
    """Whether a place is an address, `SCHEME://...`, and not a path of this machine."""
    return _SEPARATOR in place


def is_in_bucket(place: str) -> bool:
    """Whether a place is an address in a bucket, `SCHEME://BUCKET/KEY`, of a kind that can be opened."""
    scheme, _ = split(place)
    return scheme in OPENERS and scheme != _FILE


def split(address: str) -> tuple[str, str]:
    """The scheme of an address, and what follows its `://`."""
    scheme, _, rest = address.partition(_SEPARATOR)
    return scheme, rest


def bucket_and_key(location: str) -> tuple[str, str]:
    """The address of a file's bucket, `SCHEME://BUCKET`, and the file's key in it."""
    scheme, rest = split(location)
    bucket, _, key = rest.partition("/")
    return f"{scheme}{_SEPARATOR}{bucket}", key


def join(root: str, place: str) -> str:
    """A place below `root`, which is a folder or an address; addresses and absolute paths stand for themselves."""
    return place if is_address(place) else os.path.join(root, place)


def absolute(place: str) -> str:
    """A path from the root of the file system on; an address as it is."""
    return place if is_address(place) else str(Path(place).absolute())


def local_folder(uri: str) -> Path | None:
    """The folder of this machine that a store's address means; None for all other stores."""
    if not is_address(uri):
        return Path(uri)
    scheme, path = split(uri)
    return Path(unquote(path)) if scheme == _FILE else None


def open_address(uri: str, s3: S3Config) -> Storage:
    """Open the store at an address; see `stores.open_storage`."""
    scheme, rest = split(uri)
    if scheme not in OPENERS:
        raise _not_an_address(uri)
    return OPENERS[scheme](uri, rest, s3)


def _open_folder(uri: str, path: str, s3: S3Config) -> Storage:
    if not path.startswith("/"):
        raise _not_an_address(uri)

    from surgstream.shards.storage.local import LocalStorage

    return LocalStorage(Path(unquote(path)), uri, s3.retry)


def _open_bucket(uri: str, path: str, s3: S3Config) -> Storage:
    bucket, _, prefix = path.partition("/")
    if "@" in bucket:
        raise ConfigError(f"s3://: {WITHOUT_USER}")
    if not bucket:
        raise _not_an_address(uri)

    from surgstream.shards.storage.s3 import S3Storage
    from surgstream.shards.storage.s3_client import reached

    return S3Storage(bucket, prefix, uri, reached(bucket, s3))


def _not_an_address(uri: str) -> StorageError:
    return StorageError(
        f"{without_secrets(uri)}: expected a folder, file:///FOLDER or s3://BUCKET/PREFIX"
    )


OPENERS: dict[str, Callable[[str, str, S3Config], Storage]] = {
    _FILE: _open_folder,
    "s3": _open_bucket,
}
"""Functions that open a store, by scheme; their arguments are the address, its part after `://`, and `data.s3`."""
