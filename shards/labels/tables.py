"""CSV files of labels as text: read whole, bounded in size, and with the line of each row."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

from surgstream.shards.errors import UnusableFileError
from surgstream.shards.format.names import MAX_LABELS
from surgstream.shards.storage.stores import Stores

_SHOWN = 200

Line = tuple[int, tuple[str, ...]]
"""The number of a line in its file, from 1, and the cells of some columns."""


@dataclass(frozen=True)
class Table:
    """A file's header, and the cells of its rows by line."""

    header: tuple[str, ...]
    lines: tuple[Line, ...]

    def columns(self, *names: str) -> Iterator[Line]:
        """The cells of columns that the header has, row by row.

        Raises:
            ValueError: A row has more cells than the header, which comes from an unquoted comma, or too few.
        """
        places = [self.header.index(name) for name in names]
        for line, cells in self.lines:
            if any(cells[len(self.header) :]):
                row = ",".join(cells)[:_SHOWN]
                raise ValueError(
                    f"line {line}: got a row of more columns, {row!r}; put what has commas in quotes"
                )
            if max(places) >= len(cells):
                raise ValueError(f"line {line}: got a row of {len(cells)} columns")
            yield line, tuple(cells[place] for place in places)


def read_file(location: str, stores: Stores) -> bytes:
    """Read a file of labels.

    Args:
        location: A path or `s3://` address.
        stores: The stores to read from.

    Raises:
        ValueError: It is missing, larger than labels can be, or cannot be used.
        StorageError: A store fails.
    """
    storage, name = stores.locate(location)
    try:
        size = storage.size(name)
        if size is None:
            raise ValueError("it is missing")
        if size > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS} bytes")
        return storage.read(name)
    except UnusableFileError as error:
        raise ValueError(str(error)) from None


def parse_table(data: bytes) -> Table:
    """Parse a CSV file in UTF-8, with or without a byte order mark; ValueError where it is none.

    An empty file has a header without columns.
    """
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    try:
        header = next(reader, [])
        lines = tuple((reader.line_num, tuple(cells)) for cells in reader if cells)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    return Table(tuple(header), lines)


def finite(text: str) -> float:
    """The finite number that a text says; ValueError otherwise."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
