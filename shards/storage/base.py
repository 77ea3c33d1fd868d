"""The interface of every store, and what all stores need."""

import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol

from surgstream.configs.places import Folder
from surgstream.configs.ranges import Range
from surgstream.shards.errors import StorageError
from surgstream.shards.globs import Tree
from surgstream.shards.storage.retry import RetryConfig

MAX_READ = 2**30
"""The most bytes that are read whole: the files of a corpus, other than shards, are far smaller."""

WITHOUT_USER = (
    "expected an address without user and password; "
    "boto3 finds them in the environment or in ~/.aws"
)

_NO_FILE = re.compile("[\\0\\ud800-\\udc7f\\udd00-\\udfff]")
_USER = re.compile(r"(?<=://)[^\s\"']*@")
_SIGNED = re.compile(
    r"(?i)(signature|credential|token|awsaccesskeyid|secret\w*)[\"']?\s*[=:]\s*[^\s&,;]+"
)


@dataclass(frozen=True, kw_only=True)
class S3Config:
    """The settings of S3. Credentials are boto3's own: environment, profile, instance role or a process.

    Attributes:
        endpoint_url: Of stores that are not Amazon's; boto3's where null: `AWS_ENDPOINT_URL`, or that of the profile.
        region: Its region; boto3's where null.
        profile: The section of `~/.aws/config` and `~/.aws/credentials`; boto3's where null: `AWS_PROFILE`.
        addressing_style: `path` puts the bucket in the path, `virtual` in the host name, `auto` is for the endpoint to
            decide; boto3's where null: `s3 = addressing_style = ...` in the profile.
        ca_bundle: A file of certificates to trust, for stores with their own; boto3's where null: `AWS_CA_BUNDLE`, or
            that of the profile.
        anonymous: Sign nothing, for public buckets.
        connect_timeout_seconds: How long to wait for a connection.
        read_timeout_seconds: How long to wait for the next bytes.
        retry: When to try again, and when to give up; also reads from folders, whose file systems fail as well.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] | None = None
    ca_bundle: Folder | None = None
    anonymous: bool = False
    connect_timeout_seconds: Annotated[float, Range(1e-3, 1e4)] = 5.0
    read_timeout_seconds: Annotated[float, Range(1e-3, 1e4)] = 10.0
    retry: RetryConfig = field(default_factory=RetryConfig)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if "@" in (self.endpoint_url or ""):
            yield f"endpoint_url: {WITHOUT_USER}"

    def over(self, general: "S3Config") -> "S3Config":
        """These settings, and `general` ones for those that are as they are by default."""
        changed = _changed(self, S3Config())
        changed["retry"] = replace(general.retry, **_changed(self.retry, RetryConfig()))
        return replace(general, **changed)


def _changed(settings: object, default: object) -> dict[str, Any]:
    """The fields of some settings that are not as they are by default."""
    usual = vars(default)
    return {name: value for name, value in vars(settings).items() if value != usual[name]}


class Sink(Protocol):
    """The target of a writer's bytes."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Append `data`."""


class Storage(Protocol):
    """Named byte strings under one address; safe to use from many threads.

    Names are relative paths with forward slashes. Every method raises StorageError, naming the address and the name,
    when the store fails.

    Attributes:
        uri: The address.
        retries: How often reads failed and were tried again, by cause; on S3 also other requests, with new credentials.
    """

    uri: str
    retries: Counter[str]

    def read(self, name: str) -> bytes:
        """All bytes of `name`; StorageError when they are more than `MAX_READ`."""

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """Fill `out` with the bytes of `name` from `start` on; StorageError when it ends earlier.

        It is a StorageError as well when `name` has been replaced since it was first read from. Setting `stop` ends the
        waiting for a store that fails, with a StorageError.
        """

    def size(self, name: str) -> int | None:
        """Length of `name` in bytes; None when there is no such name."""

    def version(self, name: str) -> str | None:
        """A text that changes when `name` is written again: size and time, or the ETag; None when it is absent."""

    def write(self, name: str, data: bytes) -> None:
        """Make `data` the whole content of `name`, atomically."""

    def create(self, name: str, data: bytes) -> bool:
        """Write `name` if it is absent; returns whether it was. Of several writers at once, one succeeds."""

    def replace(self, name: str, data: bytes, was: str | None) -> None:
        """Write `name` if it still is of the version `was`; StorageError otherwise."""

    def writer(self, name: str) -> AbstractContextManager[Sink]:
        """A stream that becomes `name` when its block ends, and leaves nothing behind when its block raises."""

    def delete(self, name: str) -> None:
        """Remove `name`; does nothing when it is absent."""

    def sizes(self, folder: str = "") -> dict[str, int]:
        """All names, or those inside a folder, sorted, with their lengths in bytes."""

    def tree(self) -> Tree:
        """All names as a tree. Folders are read only as they are walked."""

    def free_bytes(self) -> int | None:
        """The bytes that can still be written; None where that is unknown. The folder has to exist."""

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """Remove what killed writers left of the names that are `ours`; call it only while no one else writes them."""


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


def safe_name(uri: str, name: str) -> str:
    """Return `name` if it stays below `uri`.

    Raises:
        StorageError: The name is absolute, climbs with `..`, is empty, or cannot be a file's.
    """
    steps = name.split("/")
    leads_out = name.startswith("/") or ".." in steps
    is_empty = {"", "."}.issuperset(steps)
    if leads_out or is_empty or _NO_FILE.search(name):
        raise StorageError(f"{uri}: expected a name inside the store, got {name!r}")
    return name


def check_size(uri: str, name: str, size: int) -> None:
    """Raise StorageError if a file is too large to be read whole."""
    if size > MAX_READ:
        raise StorageError(
            f"{uri}: {name}: expected at most {MAX_READ} bytes, got {size}; "
            "it is another kind of file"
        )


def check_version(storage: Storage, name: str, was: str | None) -> None:
    """Raise StorageError unless a file is of the version `was`."""
    if storage.version(name) != was:
        raise StorageError(replaced(storage.uri, name))


def replaced(uri: str, name: str) -> str:
    """The message for a file that another process has written."""
    return (
        f"{uri}: {name}: expected it as it was when this began, got another version: "
        "another process is writing there; wait for it, then run again"
    )


def is_weak(etag: str) -> bool:
    """Whether contents that differ a little may share an ETag; in a condition such as If-Match it never fits."""
    return etag.startswith("W/")


def opaque(etag: str) -> str:
    """The part of an ETag that is the same for the same content, be the ETag weak or not."""
    return etag.removeprefix("W/")


def without_secrets(text: str) -> str:
    """A text for messages: without the users and passwords of addresses, and without signatures and tokens."""
    return _SIGNED.sub("...", _USER.sub("...@", text))


def read_range(storage: Storage, name: str, start: int, stop: int) -> bytes:
    """Bytes [start, stop) of `name`; see `Storage.read_into`."""
    data = bytearray(stop - start)
    storage.read_into(name, start, memoryview(data))
    return bytes(data)
