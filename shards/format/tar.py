"""Write a shard: a plain ustar file whose bytes depend only on its members' names and contents."""

import hashlib
import tarfile

from surgstream.shards.storage.base import Sink

# Not webdataset's TarWriter: it imports torch, which packing nodes need not have, and it does not return the offsets of
# members. The headers are the standard library's, and the tests read the shards with webdataset.


def member_header(name: str, size: int) -> bytes:
    """The 512-byte tar header of a member.

    Args:
        name: At most 100 ASCII characters.
        size: Length of its content in bytes.
    """
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def padded(size: int) -> int:
    """The bytes that a content of `size` bytes takes in a tar."""
    num_blocks = -(-size // tarfile.BLOCKSIZE)
    return num_blocks * tarfile.BLOCKSIZE


def closed_size(size: int) -> int:
    """The length of a tar whose members take `size` bytes: with two empty blocks, filled up to a whole record."""
    num_records = -(-(size + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE)
    return num_records * tarfile.RECORDSIZE


class TarWriter:
    """Appends members to a tar, and knows its length and its SHA-256."""

    def __init__(self, sink: Sink) -> None:
        self.num_bytes = 0
        self._sink = sink
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def add(self, name: str, content: bytes) -> int:
        """Append a member.

        Args:
            name: At most 100 ASCII characters.
            content: Its bytes.

        Returns:
            The offset of the content in the tar, in bytes.
        """
        self._write(member_header(name, len(content)))
        offset = self.num_bytes
        self._write(content)
        self._write(bytes(padded(len(content)) - len(content)))
        return offset

    def close(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(closed_size(self.num_bytes) - self.num_bytes))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._digest.update(data)
        self.num_bytes += len(data)
