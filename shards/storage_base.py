"""What every store promises, and what all of them need."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Protocol

from shards.errors import StorageError


class Sink(Protocol):
    """Where a writer's bytes go."""

    def write(self, data: bytes, /) -> int:
        """Append `data`."""


class Storage(Protocol):
    """Named byte strings under one address; safe to use from many threads.

    Names are relative paths with forward slashes. Every method raises StorageError, naming the address and the name,
    when the store fails.
    """

    uri: str

    def read(self, name: str) -> bytes:
        """All bytes of `name`."""

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of `name`; StorageError when it ends earlier."""

    def size(self, name: str) -> int | None:
        """Length of `name` in bytes; None when there is no such name."""

    def version(self, name: str) -> str | None:
        """A text that changes when `name` is written anew: size and time, or the ETag; None when it is absent."""

    def write(self, name: str, data: bytes) -> None:
        """Make `data` the whole content of `name`, atomically."""

    def writer(self, name: str) -> AbstractContextManager[Sink]:
        """A stream that becomes `name` when its block ends, and leaves nothing behind when its block raises."""

    def delete(self, name: str) -> None:
        """Remove `name`; does nothing when it is absent."""

    def names(self) -> list[str]:
        """All names, sorted."""

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """Remove what killed writers left of the names that are `ours`; call it only while nobody else writes them."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other packings out while the block runs; StorageError when one is at work.

        A folder's lock ends with its process, however that ends. S3 has no locks: there it is up to the caller that
        one packing at a time writes to a prefix.
        """


def safe_name(uri: str, name: str) -> str:
    """Return `name` if it stays below `uri`.

    Raises:
        StorageError: The name is absolute, climbs with `..`, or is empty.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise StorageError(f"{uri}: expected a name inside the store, got {name!r}")
    return name


def whole_range(uri: str, name: str, start: int, stop: int, data: bytes) -> bytes:
    """Return `data`, read as bytes [start, stop), if it is all of them.

    Raises:
        StorageError: It is shorter.
    """
    if len(data) != stop - start:
        raise StorageError(
            f"{uri}: {name}: expected bytes {start} to {stop}, got {len(data)} of {stop - start}; it is cut short"
        )
    return data
