"""A tar that is read once from its start to its end, to check every byte of it."""

import hashlib
import io

from surgstream.shards.storage.stores import RangeReader, Storage

READ_BYTES = 8 * 2**20
MAX_MEMBER = 256 * 2**20


class LostError(Exception):
    """An index leads out of its tar, or backwards, or asks for more than any frame or description takes."""


class Tape:
    """A tar read once from its start to its end, hashed on the way.

    Attributes:
        position: Bytes that were read.
    """

    def __init__(self, storage: Storage, name: str, num_bytes: int) -> None:
        """Stand at the start.

        Args:
            storage: The corpus.
            name: The tar.
            num_bytes: Its length.

        Raises:
            StorageError: It is missing, or the store fails.
        """
        self.position = 0
        self._num_bytes = num_bytes
        self._file = io.BufferedReader(RangeReader(storage, name), READ_BYTES)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of what was read, in hexadecimal."""
        return self._digest.hexdigest()

    def take(self, count: int) -> bytes:
        """Read the next `count` bytes.

        Raises:
            LostError: They are more than are left, or than a member may have.
            StorageError: The store fails.
        """
        if not 0 <= count <= min(MAX_MEMBER, self._num_bytes - self.position):
            raise LostError
        data = self._file.read(count)
        self._digest.update(data)
        self.position += count
        return data

    def rest_is_zero(self) -> bool:
        """Read what is left, and tell whether it is all zeros."""
        zero = True
        while left := self._num_bytes - self.position:
            zero &= not self.take(min(left, READ_BYTES)).strip(b"\0")
        return zero
