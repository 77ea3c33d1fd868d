"""Tars as stores of their members, which are read where they lie."""

import io
import logging
import posixpath
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Never

from surgstream.shards.errors import StorageError
from surgstream.shards.globs import Names
from surgstream.shards.storage.base import RangeReader, Storage, check_size, read_range, safe_name

log = logging.getLogger(__name__)

_HEADER_BYTES = 4096
"""Bytes that are fetched at a time: a header, with the records that long names take before it."""

_MAX_HEADER_BYTES = 2**20
"""The most that a header takes with its records; what says more of itself is damaged."""


class Member(NamedTuple):
    """The content of a file in a tar: bytes [offset, offset + size)."""

    offset: int
    size: int


@dataclass(frozen=True)
class _Tar:
    """A version of a tar, and the store that has it."""

    uri: str
    name: str
    version: str
    outer: Storage = field(compare=False, repr=False)


class _HeaderReader(io.BufferedReader):
    """The headers of a tar, of which no single one may be long, whatever it says: memory and time have an end."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw, _HEADER_BYTES)
        self._left = _MAX_HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a piece of a header."""
        if size is None or not 0 <= size <= self._left:
            raise tarfile.ReadError(f"a header of more than {_MAX_HEADER_BYTES} bytes")
        self._left -= size
        return super().read(size)

    def begin(self) -> None:
        """Begin with another header."""
        self._left = _MAX_HEADER_BYTES


@lru_cache(maxsize=256)
def _members_of(tar: _Tar) -> Mapping[str, Member]:
    """Read the headers of a tar, one request for each member. Each process reads a tar once.

    Returns:
        The regular files in it, by their names without a leading `./`. Of files of one name it is the last, which is
        what unpacking would leave.

    Raises:
        StorageError: It is no uncompressed tar, it is cut short, or the store fails.
    """
    where = f"{tar.uri}: {tar.name}"
    found = {}
    num_sparse = 0
    try:
        for member in _headers(tar):
            if member.issparse():
                num_sparse += 1
            elif member.isreg():
                path = safe_name(f"{tar.uri}/{tar.name}", posixpath.normpath(member.name))
                found[path] = Member(member.offset_data, member.size)

    # The library tells of damage in many ways.
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(
            f"{where}: expected an uncompressed tar, got: {error}; write it again, or leave it out"
        ) from None

    if num_sparse:
        log.warning(
            "%s: leaves out %d files that are stored with holes; write the tar again without --sparse",
            where,
            num_sparse,
        )
    return found


def _headers(tar: _Tar) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar's members, up to its end.

    Raises:
        TarError: One is damaged, or there is no end. The library raises other errors as well.
    """
    reader = _HeaderReader(RangeReader(tar.outer, tar.name))
    with tarfile.open(fileobj=reader, mode="r:") as opened:
        for member in opened:
            # To the library, a negative size leads back, and so round and round.
            if member.size < 0 or opened.offset < member.offset_data:
                raise tarfile.ReadError(f"a negative size at byte {member.offset}")
            yield member
            reader.begin()

        # To the library, anything that is no header is the end of a tar.
        reader.seek(opened.offset)
        if reader.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no header and no end at byte {opened.offset}")


class TarStorage:
    """The files in a tar, of which only what is read is fetched; see `shards.storage.base.Storage`.

    Nothing can be written.
    """

    def __init__(self, outer: Storage, name: str) -> None:
        """Name the tar, without reading it.

        Args:
            outer: The store that has it.
            name: Its name there.
        """
        self.uri = f"{outer.uri.rstrip('/')}/{name}"
        self.retries: Counter[str] = outer.retries
        self._outer = outer
        self._name = name
        self._known: Mapping[str, Member] | None = None

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        offset, size = self._member(name)
        check_size(self.uri, name, size)
        return read_range(self._outer, self._name, offset, offset + size)

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """See `Storage.read_into`."""
        offset, size = self._member(name)
        if start + len(out) > size:
            raise StorageError(
                f"{self.uri}: {name}: expected bytes {start} to {start + len(out)}, "
                f"got a file of {size}"
            )
        self._outer.read_into(self._name, offset + start, out, stop)

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        member = self._members().get(name)
        return None if member is None else member.size

    def version(self, name: str) -> str | None:
        """See `Storage.version`: that of the tar, and where in it the file lies."""
        now = self._now()
        member = _members_of(now).get(name)
        return None if member is None else f"{now.version}-{member.offset}-{member.size}"

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Storage.sizes`."""
        inside = f"{folder.rstrip('/')}/" if folder else ""
        found = {
            name: member.size for name, member in self._members().items() if name.startswith(inside)
        }
        return dict(sorted(found.items()))

    def tree(self) -> Names:
        """See `Storage.tree`."""
        return Names(self._members())

    def free_bytes(self) -> None:
        """See `Storage.free_bytes`."""

    def _refuse(self, *_: object, **__: object) -> Never:
        raise StorageError(
            f"{self.uri}: expected a folder to write to, got a tar, which is only read"
        )

    write = create = replace = writer = delete = sweep = _refuse

    def _members(self) -> Mapping[str, Member]:
        # Once, since a tar that is replaced while it is read is found out by its own store.
        if self._known is None:
            self._known = _members_of(self._now())
        return self._known

    def _now(self) -> _Tar:
        """The tar as it is now."""
        version = self._outer.version(self._name)
        if version is None:
            raise StorageError(f"{self.uri} is missing")
        return _Tar(self._outer.uri, self._name, version, self._outer)

    def _member(self, name: str) -> Member:
        member = self._members().get(name)
        if member is None:
            raise StorageError(f"{self.uri}: {name} is missing")
        return member
