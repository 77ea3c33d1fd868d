import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.tables import Line, headed_lines, numbered_files, plain_lines
from tests.helpers.releases import lay

CELLS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


def line(text: str) -> Line:
    return Line(Path("a.txt"), 7, {"x": text})


def test_files_are_found_by_their_number_and_in_its_order(tmp_path: Path) -> None:
    names = ["v10-p.txt", "v2-p.txt", "v02-p.txt.bak", "v3_p.txt", "xv4-p.txt", "vx-p.txt"]
    lay(tmp_path, dict.fromkeys(names, ""))
    assert numbered_files(tmp_path, "vNN-p.txt") == [
        ("2", tmp_path / "v2-p.txt"),
        ("10", tmp_path / "v10-p.txt"),
    ]


def test_marks_in_a_name_mean_themselves(tmp_path: Path) -> None:
    lay(tmp_path, {"vx1+txt": "", "v.1+txt": ""})
    assert [path.name for _, path in numbered_files(tmp_path, "v.NN+txt")] == ["v.1+txt"]


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_such_files_is_told(folder: str, tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match=r"expected files such as vNN\.txt, got none; let --root"
    ):
        numbered_files(tmp_path / folder, "vNN.txt")


@given(
    st.lists(CELLS, min_size=1, max_size=4, unique=True).flatmap(
        lambda header: st.tuples(
            st.just(header),
            st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=4),
        )
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_tables_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], list[list[str]]],
    delimiter: str,
    end: str,
    mark: str,
) -> None:
    header, rows = table
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes((mark + text.getvalue()).encode())

    lines = list(headed_lines(path, header, delimiter))
    assert [[line.cells[name] for name in header] for line in lines] == rows
    assert [line.number for line in lines] == list(range(2, len(rows) + 2))

    plain = plain_lines(path, header, delimiter, skip=1)
    assert [dict(line.cells) for line in plain] == [dict(line.cells) for line in lines]


def test_blank_lines_and_blanks_around_cells_mean_nothing(tmp_path: Path) -> None:
    path = lay(tmp_path, {"t": "a , b\n\n 1, 2 \n\n"}) / "t"
    (found,) = headed_lines(path, ["b"])
    assert (found.cells, found.number) == ({"a": "1", "b": "2"}, 3)


def test_any_blanks_may_stand_between_columns(tmp_path: Path) -> None:
    path = lay(tmp_path, {"t": "1  2\n\n3\t4\n"}) / "t"
    found = [(line.number, *line.cells.values()) for line in plain_lines(path, "ab", None)]
    assert found == [(1, "1", "2"), (3, "3", "4")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: expected the columns a, b, got ''"),
        (b"a;b\n1;2\n", "line 1: expected the columns a, b, got 'a;b'"),
        (b"a,b\n1,2\n3\n", "line 3: expected 2 columns, got 1"),
        (b"a,b\n1,2,3\n", "line 2: expected 2 columns, got 3"),
        (b"a,b\n1,2\n\xff,3\n", "line 3: expected text in UTF-8"),
        (b'a,b\n1,"' + b"x" * 200_000 + b'"\n', "line 2: expected a table of text: field larger"),
    ],
)
def test_a_damaged_table_is_told_with_its_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = lay(tmp_path, {"t": content}) / "t"
    with pytest.raises(ReleaseError) as caught:
        list(headed_lines(path, ["a", "b"]))
    assert str(caught.value).startswith(f"{path}: {told}")


def test_cells_are_read_as_what_they_are() -> None:
    assert line("-12").whole("x") == -12
    assert line("2.25").decimal("x", 0, 3) == 2.25
    assert line("1").flag("x") and not line("0").flag("x")
    assert line("A").one_of("x", {"A": "a"}) == "a"
    assert line("A").text("x") == "A"


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "x", "1_0", "٣", "1" * 5000, "nan"])
def test_what_is_no_whole_number_is_told(text: str) -> None:
    with pytest.raises(ReleaseError, match=r"^a\.txt: line 7: x: expected a whole number, got "):
        line(text).whole("x")


@pytest.mark.parametrize("text", ["", "-0.5", "3.5", "x", "nan", "inf", "1" * 5000])
def test_what_is_no_number_of_the_range_is_told(text: str) -> None:
    with pytest.raises(
        ReleaseError, match=r"^a\.txt: line 7: x: expected a number from 0 to 3, got"
    ):
        line(text).decimal("x", 0, 3)


def test_other_words_are_told_with_what_was_meant() -> None:
    with pytest.raises(
        ReleaseError, match=r"expected one of Hook, Clip, got 'Hok'; did you mean 'Hook'\?"
    ):
        line("Hok").one_of("x", {"Hook": "hook", "Clip": "clip"})
    with pytest.raises(ReleaseError, match="expected 0 or 1, got '2'"):
        line("2").flag("x")
