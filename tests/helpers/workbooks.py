"""Excel workbooks, made."""

import io
from collections.abc import Sequence

import openpyxl

Cell = str | int | float | None


def workbook(*rows: Sequence[Cell]) -> bytes:
    """A workbook of one sheet."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))

    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
