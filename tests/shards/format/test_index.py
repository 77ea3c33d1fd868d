"""The index: 16 bytes a row, and nothing else."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import CorruptSampleError, StorageError
from surgstream.shards.format import index
from surgstream.shards.storage.stores import open_storage

row_lists = st.lists(
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
)


@given(row_lists)
@settings(derandomize=True, max_examples=50)
def test_rows_are_little_endian_structs(rows: list[tuple[int, int, int]]) -> None:
    data = index.to_bytes(np.array(rows, dtype=index.ROW))
    assert data == b"".join(struct.pack("<QII", *row) for row in rows)
    assert [tuple(row) for row in index.from_bytes(data, where="x").tolist()] == rows


def test_a_range_of_rows(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    rows = np.array([(n, n + 1, n + 2) for n in range(10)], dtype=index.ROW)
    storage.write("a.idx", index.to_bytes(rows))
    assert index.read_rows(storage, "a.idx", 3, 6).tolist() == rows[3:6].tolist()
    assert len(index.read_rows(storage, "a.idx", 4, 4)) == 0


def test_a_truncated_index_is_said(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write("a.idx", bytes(16 * 3 - 1))
    with pytest.raises(StorageError, match=r"a\.idx: expected bytes 0 to 48, got 47"):
        index.read_rows(storage, "a.idx", 0, 3)
    with pytest.raises(
        CorruptSampleError, match=r"a\.idx: expected rows of 16 bytes, got 47 bytes"
    ):
        index.from_bytes(storage.read("a.idx"), where="a.idx")
