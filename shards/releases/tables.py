"""Files of a release: which there are, and tables of text whose mistakes are told with file and line."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from surgstream.configs.files import read_text
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import ReleaseError

LONGEST = 1_000_000
"""No video has so many seconds, so that a damaged number asks for no more rows."""

_SHOWN = 80
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,20})?")


def numbered_files(folder: Path, name: str) -> list[tuple[str, Path]]:
    """Find files that differ in a number.

    Args:
        folder: Where they lie.
        name: Their name, with `NN` for the number, such as `videoNN-phase.txt`.

    Returns:
        Digits and path of each, by number.

    Raises:
        ReleaseError: There is none.
    """
    before, after = map(re.escape, name.split("NN"))
    pattern = re.compile(f"{before}([0-9]+){after}")

    paths = folder.iterdir() if folder.is_dir() else ()
    matches = [(pattern.fullmatch(path.name), path) for path in paths]
    found = [(match[1], path) for match, path in matches if match]
    if not found:
        raise _nothing(folder, name)
    return sorted(found, key=lambda item: (int(item[0]), item[0]))


def matching_files(folder: Path, patterns: Sequence[str], example: str) -> list[Path]:
    """Find files by patterns of their paths below a folder.

    Args:
        folder: Where they lie.
        patterns: Such as `*/video_*/actions.txt`; one that matches nothing is fine, if another one does.
        example: A path that matches, for the error.

    Returns:
        All of them, in order.

    Raises:
        ReleaseError: There is none.
    """
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    if not found:
        raise _nothing(folder, example)
    return sorted(found)


def _nothing(folder: Path, example: str) -> ReleaseError:
    return ReleaseError(
        f"{folder}: expected files such as {example}, got none; let --root be the folder in which "
        "the release lies as it was published"
    )


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        path: The file.
        number: Of the line, from 1.
        cells: Its cells by the name of the column, without blanks around.
    """

    path: Path
    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """A cell as it is."""
        return self.cells[column]

    def whole(self, column: str) -> int:
        """A cell that is a whole number.

        Raises:
            ReleaseError: It is none.
        """
        text = self.cells[column]
        if not _WHOLE.fullmatch(text):
            raise self.wrong(column, "a whole number")
        return int(text)

    def decimal(self, column: str, least: float, greatest: float) -> float:
        """A cell that is a number of a range.

        Raises:
            ReleaseError: It is none.
        """
        text = self.cells[column]
        if not _DECIMAL.fullmatch(text) or not least <= float(text) <= greatest:
            raise self.wrong(column, f"a number from {least:,} to {greatest:,}")
        return float(text)

    def flag(self, column: str) -> bool:
        """A cell that is 0 or 1.

        Raises:
            ReleaseError: It is another.
        """
        text = self.cells[column]
        if text not in ("0", "1"):
            raise self.wrong(column, "0 or 1")
        return text == "1"

    def one_of(self, column: str, names: Mapping[str, str]) -> str:
        """What a cell's text stands for.

        Args:
            column: The cell's column.
            names: Our name of each text.

        Raises:
            ReleaseError: It is none of these.
        """
        text = self.cells[column]
        if text not in names:
            raise self.wrong(column, f"one of {', '.join(names)}", did_you_mean(text, names))
        return names[text]

    def wrong(self, column: str, expected: str, hint: str = "") -> ReleaseError:
        """The error of a cell that is not as expected, for the caller to raise."""
        got = self.cells[column][:_SHOWN]
        return ReleaseError(
            f"{self.path}: line {self.number}: {column}: expected {expected}, got {got!r}{hint}"
        )


def headed_lines(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[Line]:
    """Read a table whose first line names its columns.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        columns: The columns that it must have; those beyond are read as well.
        delimiter: What stands between columns.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is no text, lacks a column, or a line is shorter or longer than the first.
    """
    lines = _cells(path, delimiter)
    _, header = next(lines, (1, []))
    missing = [column for column in columns if column not in header]
    if missing:
        raise ReleaseError(
            f"{path}: line 1: expected the columns {', '.join(columns)}, got "
            f"{', '.join(header)[:_SHOWN]!r}"
        )

    for number, cells in lines:
        yield _line(path, number, header, cells)


def plain_lines(
    path: Path, columns: Sequence[str], delimiter: str | None = ",", skip: int = 0
) -> Iterator[Line]:
    """Read a table without a line that names its columns.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        columns: What to call its columns, all of them.
        delimiter: What stands between columns; None for any blanks.
        skip: Lines before the first that counts.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is no text, or a line has another number of columns.
    """
    for index, (number, cells) in enumerate(_cells(path, delimiter)):
        if index >= skip:
            yield _line(path, number, columns, cells)


def without_heading(lines: Iterable[Line], column: str) -> Iterator[Line]:
    """Leave out a first line that names the columns, where nobody knows in which words, or whether there is one.

    Args:
        lines: All lines of a table.
        column: A column of numbers from 0 on; in a line of names it begins with a letter.
    """
    return dropwhile(lambda line: line.number == 1 and line.text(column)[:1].isalpha(), lines)


def _line(path: Path, number: int, columns: Sequence[str], cells: list[str]) -> Line:
    if len(cells) != len(columns):
        raise ReleaseError(
            f"{path}: line {number}: expected {len(columns)} columns, got {len(cells)}"
        )
    return Line(path, number, dict(zip(columns, cells, strict=True)))


def _cells(path: Path, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Number and stripped cells of each line that is not blank."""
    text = text_of(path)

    if delimiter is None:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield number, line.split()
        return

    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in table:
            if any(cells):
                yield table.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ReleaseError(
            f"{path}: line {table.line_num}: expected a table of text: {error}"
        ) from None


def text_of(path: Path) -> str:
    """Read a file of text in UTF-8, with or without a byte order mark.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is no such text.
    """
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReleaseError(f"{path}: line {line}: expected text in UTF-8") from None
