"""Labels in time, from the CSV files of videos into the JSON of each segment.

A label file has a header with a column `second`, counted from the video's first frame, and a column named after the
kind of label. The text in that column holds from its second until the next later row, and is copied as it is:

    second,phase,triplets
    0,preparation,
    41,dissection,hook/dissect/gallbladder;grasper/retract/gallbladder

One file may serve several kinds, several rows may share a second, and a video need not have every file.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import VideoError
from surgstream.shards.labels.tables import finite, parse_table, read_file
from surgstream.shards.storage.stores import Stores

_SHOWN = 200
_SEPARATORS = {"\t": "tabs", ";": "semicolons", " ": "spaces"}
_TIMES = ("second", "seconds", "frame", "frames", "frame_number", "frame_id")

Row = tuple[float, str]
"""A second, and the label that holds from then on."""


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

    A mistake in one file is a mistake of that video; a mistake in all of them is one of the corpus file.

    Args:
        patterns: Kind of label -> path or `s3://` address, as the corpus file has them.
        files: The label files of each video of the dataset, held out or not.
        stores: The stores to read from.
        where: The name of the dataset in messages.

    Raises:
        ConfigError: A pattern has no file at all, so it is taken to be mistyped, or none of its files can be read.
        StorageError: A store fails.
    """
    for kind, pattern in patterns.items():
        mistakes: list[str] = []
        # One that fits is enough: the files of a large dataset are not all read twice.
        if any(_fits(kind, locations[kind], stores, mistakes) for locations in files):
            continue
        if not mistakes:
            raise ConfigError(
                f"{where}: labels.{kind}: expected {pattern} to be there for at least one of "
                f"{len(files)} videos, got none; correct the path, or leave the label out"
            )
        raise ConfigError(
            f"{where}: labels.{kind}: none of {len(mistakes)} files fits, such as {mistakes[0]}"
        )


def _fits(kind: str, location: str, stores: Stores, mistakes: list[str]) -> bool:
    """Whether a label file exists and can be read; the mistake of one that cannot be read is added to `mistakes`."""
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
        stores: The stores to read from.

    Returns:
        Their rows.

    Raises:
        VideoError: A file is missing, is not UTF-8 CSV, or lacks a column, a row has more columns than the header, or
            a second is not a number.
        StorageError: A store fails.
    """
    return Labels({kind: _read(kind, location, stores) for kind, location in locations.items()})


def _read(kind: str, location: str, stores: Stores) -> list[Row]:
    try:
        table = parse_table(read_file(location, stores))
        if not {"second", kind} <= {*table.header}:
            raise ValueError(_other_columns(table.header, kind))
        rows = [(finite(second), label) for _, (second, label) in table.columns("second", kind)]
    except ValueError as error:
        expected = f"expected a CSV file with the columns 'second' and {kind!r}"
        raise VideoError(
            f"labels: {location}: {expected}: {error}", nameless=f"labels: {expected}"
        ) from None

    # Stable: rows that share a second stay in the order of the file.
    return sorted(rows, key=_second)


def _other_columns(header: Sequence[str], kind: str) -> str:
    """The message for a file without the columns `second` and `kind`, with a command that makes a file with them.

    Most public labels, such as Cholec80's, are tables of the pictures of a video by number, with tabs between columns.
    """
    line = ",".join(header)[:_SHOWN]
    separators = [mark for mark in ",\t; " if mark in line]
    separator = separators[0] if separators else ","
    columns = [column.strip() for column in line.split(separator)]
    said = f"got {line!r}" if line else "got nothing"
    if separator != ",":
        said += f", with {_SEPARATORS[separator]} between columns instead of commas"

    values = [column for column in columns if column.lower() == kind.lower()]
    times = [column for column in columns if column.lower() in _TIMES]
    if not values or not times:
        return f"{said}; name columns so, or call the label what its column is called"

    # An awk program that makes such a file; its columns are counted from 1.
    second = f"${columns.index(times[0]) + 1}"
    label = f"${columns.index(values[0]) + 1}"
    rate = ""
    if times[0].lower() not in ("second", "seconds"):
        said += ", and numbers of pictures instead of seconds"
        second += "/25"
        rate = " (25 is how many pictures the video has a second)"

    script = f'NR==1{{print "second,{kind}"}} NR>1{{print {second} "," {label}}}'
    mark = "\\t" if separator == "\t" else separator
    return f"{said}; make such files of them: awk -F'{mark}' '{script}' FILE > NEW.csv{rate}"


def _holding(rows: list[Row], start: Fraction, stop: Fraction) -> list[Row]:
    before = bisect_right(rows, start, key=_second)
    first = 0
    if before:
        # Several rows may share the second that holds at `start`: go back to the first of them.
        holding = _second(rows[before - 1])
        first = bisect_left(rows, holding, key=_second)
    end = bisect_left(rows, stop, key=_second)
    return rows[first:end]


def _second(row: Row) -> Fraction:
    return Fraction(row[0])
