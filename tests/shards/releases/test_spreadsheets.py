"""Workbooks: texts of cells, missing columns, and files that are no workbooks."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.spreadsheets import sheet_lines
from tests.helpers.workbooks import workbook

BOOK = workbook([" a ", None, "b"], [1, "x", 2.0], [None, None, None], ["y"], [0.5, "", "\tz "])


def test_cells_are_texts_and_blank_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(BOOK)

    lines = [(line.number, dict(line.cells)) for line in sheet_lines(path, ["b", "a"])]
    assert lines == [
        (2, {"b": "2", "a": "1"}),
        (4, {"b": "", "a": "y"}),
        (5, {"b": "z", "a": "0.5"}),
    ]


def test_missing_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(BOOK)
    with pytest.raises(ReleaseError, match=r"x\.xlsx: row 1: .* a, c, d, got none called c, d$"):
        list(sheet_lines(path, ["a", "c", "d"]))


def test_an_empty_sheet_lacks_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(workbook())
    with pytest.raises(ReleaseError, match=r"got none called a$"):
        list(sheet_lines(path, ["a"]))


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    os.mkfifo(path)
    with pytest.raises(OSError, match="expected a regular file, got a FIFO"):
        list(sheet_lines(path, ["a"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(place=st.integers(0, len(BOOK) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_damage_is_one_sentence(tmp_path: Path, place: int, value: int, cut: bool) -> None:
    content = bytearray(BOOK)
    content[place] = value
    path = tmp_path / "x.xlsx"
    path.write_bytes(content[:place] if cut else content)

    try:
        lines = list(sheet_lines(path, ["a", "b"]))
    except ReleaseError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        # What zip does not check, such as dates.
        assert [line.number for line in lines] == [2, 4, 5]
