"""Files of labels as tables."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.labels.tables import parse_table, read_file
from surgstream.shards.storage.stores import Stores


def test_rows_have_their_lines_and_the_columns_asked_for() -> None:
    table = parse_table('\ufeffsecond,phase,x\n0,rest,1\n\n7,"a,\nb",2\n9,c,3\n'.encode())
    assert table.header == ("second", "phase", "x")
    assert [*table.columns("phase", "second")] == [
        (2, ("rest", "0")),
        (5, ("a,\nb", "7")),
        (6, ("c", "9")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2,3\n", "line 2: got a row of more columns, '1,2,3'; put"),
        ("a,b\n1,2\n1\n", "line 3: got a row of 1 columns"),
    ],
)
def test_ragged_rows_are_told_with_their_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(parse_table(text.encode()).columns("b"))


def test_an_open_quote_and_another_encoding_are_refused() -> None:
    for data in (b'a\n"b\n', b"a\n\xff\n"):
        with pytest.raises(ValueError):
            parse_table(data)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="it is missing"):
        read_file(str(tmp_path / "none.csv"), Stores())
    with pytest.raises(ValueError, match="folder"):
        read_file(str(tmp_path / "folder"), Stores())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_table_or_a_value_error(data: bytes) -> None:
    try:
        table = parse_table(data)
        for name in table.header:
            list(table.columns(name))
    except ValueError:
        pass
