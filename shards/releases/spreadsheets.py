"""Tables of Excel workbooks, whose mistakes are told with file and line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openpyxl

from surgstream.configs.files import open_regular
from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.tables import Line


def sheet_lines(path: Path, columns: Sequence[str]) -> Iterator[Line]:
    """Read the first sheet of a workbook, whose first row names its columns.

    Args:
        path: The workbook, an `.xlsx` file.
        columns: The columns that it must have; no others are read.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is no workbook, or lacks a column.
    """
    header, *rows = _rows(path) or [[]]
    missing = [column for column in columns if column not in header]
    if missing:
        raise ReleaseError(
            f"{path}: row 1: expected the columns {', '.join(columns)}, got none called "
            f"{', '.join(missing)}"
        )

    places = {column: header.index(column) for column in columns}
    for number, cells in enumerate(rows, start=2):
        if any(cells):
            yield Line(path, number, {column: cells[place] for column, place in places.items()})


def _rows(path: Path) -> list[list[str]]:
    """Texts of all cells of the first sheet, blank ones too."""
    with open_regular(path) as file:
        try:
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            rows = list(workbook.worksheets[0].iter_rows(values_only=True))
        # Of a damaged file it raises whatever zip, zlib, XML and its own code raise.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ReleaseError(f"{path}: expected an Excel workbook (.xlsx): {reason}") from error

    width = max(map(len, rows), default=0)
    return [[_text(cell) for cell in row] + [""] * (width - len(row)) for row in rows]


def _text(cell: Any) -> str:
    """A cell as text; whole numbers, which some programs store as 3.0, as whole numbers."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
