"""A place for a video's JPEGs until all are there: in memory, or in the temporary folder when they are many."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from surgstream.shards.errors import StorageError

MEMORY_BYTES = 256 * 2**20
"""How much a process holds in memory before it goes to temporary files."""


class Spool:
    """Byte strings by their number."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offsets = [0]

    def append(self, data: bytes) -> None:
        """Add one. Not after the first was read.

        Raises:
            StorageError: The temporary folder is full.
        """
        with _telling_of_the_temporary_folder():
            self._offsets.append(self._offsets[-1] + self._file.write(data))

    def read(self, number: int) -> bytes:
        """One of them.

        Raises:
            StorageError: The temporary folder fails.
        """
        with _telling_of_the_temporary_folder():
            self._file.seek(self._offsets[number])
            return self._file.read(self._offsets[number + 1] - self._offsets[number])


@contextlib.contextmanager
def spool(memory_bytes: int) -> Iterator[Spool]:
    """An empty one, which is gone afterwards; it goes to a temporary file where it holds more than so much."""
    file: Any = tempfile.SpooledTemporaryFile(memory_bytes)  # noqa: SIM115
    try:
        yield Spool(file)
    finally:
        with contextlib.suppress(OSError):  # it tries once more to write what could not be written
            file.close()


@contextlib.contextmanager
def _telling_of_the_temporary_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{tempfile.tempdir or 'temporary folder'}: holding the frames of a video: "
            f"{error.strerror}; free some space there, or set TMPDIR to a folder with more"
        ) from error
