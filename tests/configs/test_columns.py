import pytest

from surgstream.configs.columns import columns

ROWS = [("dataset", "videos", "hours"), ("one", "12", "3.25"), ("another one", "7", "")]


def test_the_first_column_is_aligned_to_the_left_and_the_others_to_the_right() -> None:
    assert columns(ROWS) == [
        "dataset      videos  hours",
        "one              12   3.25",
        "another one       7",
    ]


def test_more_columns_can_be_aligned_to_the_left_or_none() -> None:
    assert columns(ROWS, left=2)[1] == "one          12       3.25"
    assert columns(ROWS, left=0)[1] == "        one      12   3.25"


def test_a_table_without_rows_has_no_lines() -> None:
    assert columns([]) == []


def test_rows_have_equally_many_cells() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        columns([("a", "b"), ("a",)])
