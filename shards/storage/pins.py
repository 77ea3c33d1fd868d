"""The state of files when they were first opened, to notice a file that is replaced under its readers."""

import os
import zlib
from dataclasses import dataclass, replace

from surgstream.shards.errors import ReplacedError

_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _First:
    """A file at its first opening; `sample` is the CRC-32 of the first bytes that were read, from `start` on."""

    size: int
    mtime_ns: int
    start: int
    sample: int


class Pins:
    """The files that one process has opened, by name; safe to use from many threads.

    A file of another length is another file. A file that differs only in its time of writing may have been touched, or
    be a copy that was put back, so the bytes that were read first are compared. Inodes do not tell, since FUSE and CIFS
    number files as they please.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._first: dict[str, _First] = {}

    def check(self, name: str, descriptor: int, start: int) -> None:
        """Remember an open file, or compare it with what it was.

        Args:
            name: Its name.
            descriptor: The file.
            start: The byte from which on it is about to be read.

        Raises:
            ReplacedError: It was replaced.
            OSError: It cannot be read.
        """
        status = os.fstat(descriptor)
        first = self._first.get(name)
        # Of threads that open a file at once, one sets the pin, and all compare with it.
        if first is None:
            now = _First(status.st_size, status.st_mtime_ns, start, _sample(descriptor, start))
            first = self._first.setdefault(name, now)

        if first.size == status.st_size:
            if first.mtime_ns == status.st_mtime_ns:
                return
            if first.sample == _sample(descriptor, first.start):
                self._first[name] = replace(first, mtime_ns=status.st_mtime_ns)
                return

        changed = f"its length of {first.size} bytes"
        if first.size == status.st_size:
            changed = "bytes of it"
        raise ReplacedError(
            f"{self._uri}: {name} was replaced while the run read it ({changed} changed): "
            "this is another corpus now"
        )

    def forget(self, name: str) -> None:
        """Accept a file as it is next time, since this process has written or removed it."""
        self._first.pop(name, None)


def _sample(descriptor: int, start: int) -> int:
    return zlib.crc32(os.pread(descriptor, _SAMPLE_BYTES, start))
