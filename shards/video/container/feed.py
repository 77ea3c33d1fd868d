"""Videos as files for FFmpeg, wherever they lie."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from surgstream.shards.errors import ReplacedError, StorageError, UnusableFileError, VideoError
from surgstream.shards.storage.addresses import is_address
from surgstream.shards.storage.stores import RangeReader, Storage, Stores

STORED_AHEAD_BYTES = 8 * 2**20
"""Bytes of a video on S3 that are fetched at a time, when it is read from its start to its end."""

LOCAL_AHEAD_BYTES = 2**20
"""Bytes of a video in a file system that are read at a time: larger reads cost more time than they save."""


@contextlib.contextmanager
def feed(location: str, stores: Stores, read_ahead: int | None = None) -> Iterator[BinaryIO]:
    """Open a video as a file that FFmpeg can read and seek in.

    FFmpeg drops exceptions, so to it a store that fails looks like the end of the file. A failure is raised when the
    block ends, instead of anything that the block raises.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: Where both are read from.
        read_ahead: Bytes that are fetched at a time, if not STORED_AHEAD_BYTES or LOCAL_AHEAD_BYTES.

    Raises:
        VideoError: The file is missing, is no file, may not be read, or is replaced while it is read.
        StorageError: The store, or the file system, fails.
    """
    local = not is_address(location)
    # Opening a named pipe would wait forever.
    if local and os.path.exists(location) and not os.path.isfile(location):
        raise VideoError("is not a regular file")

    storage, name = stores.locate(location)
    try:
        if local and storage.size(name) is None:
            raise VideoError(f"cannot be opened as a video: {os.strerror(errno.ENOENT)}")
        raw = _Feed(storage, name, location)
    except UnusableFileError as error:
        raise _unusable(error) from None

    ahead = read_ahead or (LOCAL_AHEAD_BYTES if local else STORED_AHEAD_BYTES)
    try:
        yield cast(BinaryIO, io.BufferedReader(raw, ahead))
    finally:
        if isinstance(raw.failure, ReplacedError):
            raise VideoError("changes while it is read; pack again when it is whole")
        if isinstance(raw.failure, UnusableFileError):
            raise _unusable(raw.failure)
        if raw.failure is not None:
            raise raw.failure


def _unusable(error: UnusableFileError) -> VideoError:
    reason = getattr(error.__cause__, "strerror", None) or "it is no file"
    return VideoError(f"cannot be opened as a video: {reason}")


class _Feed(RangeReader):
    """A stored video that ends where its store fails, and remembers why.

    Attributes:
        failure: The failure; None while nothing has failed.
        name: The video's location: FFmpeg goes by its suffix where the content is not enough.
    """

    def __init__(self, storage: Storage, name: str, location: str) -> None:
        super().__init__(storage, name)
        self.name = location
        self.failure: StorageError | None = None

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self.failure is None:
            try:
                return super().readinto(buffer)
            except StorageError as error:
                self.failure = error
        return 0
