"""The index of a shard: one row of 16 bytes a frame, in the order of the tar.

No header: row r is bytes [16 r, 16 r + 16), so the rows of any run of frames are one small range read, and a training
process never holds a whole index.
"""

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.storage.stores import Storage, read_range

ROW = np.dtype([("offset", "<u8"), ("size", "<u4"), ("crc32", "<u4")])
"""A frame's JPEG bytes: their offset in the tar, how many they are, and their CRC-32."""

Rows = npt.NDArray[np.void]


def to_bytes(rows: Rows) -> bytes:
    """The file that holds these rows.

    Args:
        rows: Array of dtype `ROW`, shape (num_frames,).

    Returns:
        16 bytes a row.
    """
    return np.ascontiguousarray(rows, dtype=ROW).tobytes()


def from_bytes(data: bytes, *, where: str) -> Rows:
    """The rows in a file or in a range of one.

    Args:
        data: Whole rows.
        where: The name of the source in messages.

    Returns:
        Read-only array of dtype `ROW`, shape (num_frames,).

    Raises:
        CorruptSampleError: The length is not a multiple of 16 bytes.
    """
    if len(data) % ROW.itemsize:
        raise CorruptSampleError(
            f"{where}: expected rows of {ROW.itemsize} bytes, got {len(data)} bytes; pack it again"
        )
    return np.frombuffer(data, dtype=ROW)


def read_rows(storage: Storage, name: str, start: int, stop: int) -> Rows:
    """Read rows [start, stop) of an index.

    Args:
        storage: The corpus.
        name: The index, such as `cholec80/cholec80-000000.idx`.
        start: First row.
        stop: One past the last row.

    Returns:
        Read-only array of dtype `ROW`, shape (stop - start,).

    Raises:
        StorageError: The index is missing or ends before row `stop`.
    """
    data = read_range(storage, name, start * ROW.itemsize, stop * ROW.itemsize)
    return from_bytes(data, where=f"{storage.uri}: {name}")
