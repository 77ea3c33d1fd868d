"""A store for a video's JPEGs until all are there: in memory, or in the temporary folder when they are many."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from surgstream.shards.errors import StorageError

MEMORY_BYTES = 256 * 2**20
"""Bytes that a process holds in memory before it uses temporary files."""


class Spool:
    """Byte strings by their number; all are appended before the first one is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offsets = [0]

    def append(self, data: bytes) -> None:
        """Add a byte string.

        Raises:
            StorageError: The temporary folder is full.
        """
        with _naming_the_temporary_folder():
            self._offsets.append(self._offsets[-1] + self._file.write(data))

    def read(self, number: int) -> bytes:
        """Read one of them.

        Raises:
            StorageError: The temporary folder fails.
        """
        with _naming_the_temporary_folder():
            start, stop = self._offsets[number], self._offsets[number + 1]
            self._file.seek(start)
            return self._file.read(stop - start)


@contextlib.contextmanager
def spool(memory_bytes: int) -> Iterator[Spool]:
    """Open an empty spool, gone at the end of the block; past `memory_bytes` it is a temporary file."""
    file: Any = tempfile.SpooledTemporaryFile(memory_bytes)  # noqa: SIM115
    try:
        yield Spool(file)
    finally:
        # Closing tries once more to write what could not be written.
        with contextlib.suppress(OSError):
            file.close()


@contextlib.contextmanager
def _naming_the_temporary_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{tempfile.tempdir or 'temporary folder'}: holding the frames of a video: "
            f"{error.strerror}; free some space there, or set TMPDIR to a folder with more"
        ) from error
