"""Labels in time, from the CSV files that lie beside the videos into the JSON of each segment.

A label file has a header with a column `second`, counted from the video's first frame, and a column named after the
kind of label. What that column says holds from its second until the next later row, and is copied as text:

    second,phase,triplets
    0,preparation,
    41,dissection,hook/dissect/gallbladder;grasper/retract/gallbladder

One file may serve several kinds, several rows may share a second, and a video need not have every file.
"""

import csv
import io
import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import UnusableFileError, VideoError
from surgstream.shards.format.names import LARGEST_LABELS
from surgstream.shards.storage.stores import Stores

_SHOWN = 200
_SEPARATORS = {"\t": "tabs", ";": "semicolons", " ": "spaces"}
_TIMES = ("second", "seconds", "frame", "frames", "frame_number", "frame_id")

Row = tuple[float, str]
"""A second, and what holds from then on."""


@dataclass(frozen=True)
class Labels:
    """The rows of a video's label files, by kind of label and in order of time."""

    rows: dict[str, list[Row]]

    def between(self, start: Fraction, stop: Fraction) -> dict[str, list[Row]]:
        """The rows that hold at some time in [start, stop), in seconds; kinds without any are left out."""
        found = {kind: _holding(rows, start, stop) for kind, rows in self.rows.items()}
        return {kind: rows for kind, rows in found.items() if rows}


def check_labels(
    patterns: Mapping[str, str], files: Collection[Mapping[str, str]], stores: Stores, *, where: str
) -> None:
    """Check that every kind of label has a file that can be read, for at least one video of a dataset.

    What is wrong with one file is that video's; what is wrong with all of them is the corpus file's.

    Args:
        patterns: Kind of label -> path or `s3://` address, as the corpus file has them.
        files: The same of each video of the dataset, held out or not.
        stores: Where the files lie.
        where: What to call the dataset in messages.

    Raises:
        ConfigError: A pattern has no file at all, so it is taken to be mistyped, or all of its files are of another
            kind.
        StorageError: A store fails.
    """
    for kind, pattern in patterns.items():
        mistakes: list[str] = []
        # One that fits is enough: the files of a large dataset are not all read twice.
        if any(_fits(kind, locations[kind], stores, mistakes) for locations in files):
            continue
        if not mistakes:
            raise ConfigError(
                f"{where}: labels.{kind}: expected {pattern} to be there for at least one of {len(files)} videos, "
                "got none; correct the path, or leave the label out"
            )
        raise ConfigError(
            f"{where}: labels.{kind}: none of {len(mistakes)} files fits, such as {mistakes[0]}"
        )


def _fits(kind: str, location: str, stores: Stores, mistakes: list[str]) -> bool:
    """Whether a file of labels is there and can be read; if it only is there, what is wrong joins the mistakes."""
    storage, name = stores.locate(location)
    if storage.size(name) is None:
        return False
    try:
        _read(kind, location, stores)
    except VideoError as error:
        mistakes.append(str(error).removeprefix("labels: "))
        return False
    return True


def read_labels(locations: dict[str, str], stores: Stores) -> Labels:
    """Read a video's label files.

    Args:
        locations: Kind of label -> path or `s3://` address; all must exist.
        stores: Where they lie.

    Returns:
        Their rows.

    Raises:
        VideoError: A file is missing, is not UTF-8 CSV, or lacks a column, a row has more columns than the header, or
            a second is not a number.
        StorageError: A store fails.
    """
    return Labels({kind: _read(kind, location, stores) for kind, location in locations.items()})


def _read(kind: str, location: str, stores: Stores) -> list[Row]:
    storage, name = stores.locate(location)
    try:
        size = storage.size(name)
        if size is None:
            raise ValueError("it is missing")
        if size > LARGEST_LABELS:
            raise ValueError(f"it has more than {LARGEST_LABELS} bytes")
        text = storage.read(name).decode("utf-8-sig")

        # An empty file has a header without columns.
        header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        if not {"second", kind} <= {*header}:
            raise ValueError(_other_columns(header, kind))
        time, value = header.index("second"), header.index(kind)
        # Empty columns beyond the header do no harm; text there comes from an unquoted comma.
        if longer := next((line for line in lines if any(line[len(header) :])), None):
            raise ValueError(
                f"got a row of more columns, {','.join(longer)[:_SHOWN]!r}; put what has commas in quotes"
            )
        rows = [(_finite(line[time]), line[value]) for line in lines if line]
    except (UnusableFileError, UnicodeDecodeError, csv.Error, ValueError, IndexError) as error:
        raise VideoError(
            f"labels: {location}: expected a CSV file with the columns 'second' and {kind!r}: {error}",
            nameless=f"labels: expected a CSV file with the columns 'second' and {kind!r}",
        ) from None

    # Stable: rows that share a second stay in the order of the file.
    return sorted(rows, key=_second)


def _other_columns(header: list[str], kind: str) -> str:
    """In words, what a file has instead of the columns `second` and `kind`, and what makes a file that has them.

    Most public labels, such as Cholec80's, are tables of the pictures of a video by number, with tabs between columns.
    """
    line = ",".join(header)[:_SHOWN]
    separator = next((mark for mark in ",\t; " if mark in line), ",")
    columns = [column.strip() for column in line.split(separator)]
    said = f"got {line!r}" if line else "got nothing"
    if separator != ",":
        said += f", with {_SEPARATORS[separator]} between columns instead of commas"

    values = [column for column in columns if column.lower() == kind.lower()]
    times = [column for column in columns if column.lower() in _TIMES]
    if not values or not times:
        return f"{said}; name columns so, or call the label what its column is called"

    # An awk program that makes such a file: $T and $V stand for the two columns, counted from 1.
    number = "$T" if times[0].lower() in ("second", "seconds") else "$T/25"
    script = f'NR==1{{print "second,{kind}"}} NR>1{{print {number} "," $V}}'
    script = script.replace("$T", f"${columns.index(times[0]) + 1}").replace(
        "$V", f"${columns.index(values[0]) + 1}"
    )
    counted = ", and numbers of pictures instead of seconds" * ("/25" in number)
    rate = " (25 is how many pictures the video has a second)" * ("/25" in number)
    mark = {"\t": "\\t"}.get(separator, separator)
    return (
        f"{said}{counted}; make such files of them: awk -F'{mark}' '{script}' FILE > NEW.csv{rate}"
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a second")
    return number


def _holding(rows: list[Row], start: Fraction, stop: Fraction) -> list[Row]:
    before = bisect_right(rows, start, key=_second)
    # Several rows may share the second that holds at `start`: go back to the first of them.
    first = bisect_left(rows, _second(rows[before - 1]), key=_second) if before else 0
    return rows[first : bisect_left(rows, stop, key=_second)]


def _second(row: Row) -> Fraction:
    return Fraction(row[0])
