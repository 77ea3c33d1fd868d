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
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from configs.errors import ConfigError
from shards.errors import StorageError, VideoError
from shards.storage import Stores

LARGEST_FILE = 64 * 2**20
"""Of labels in bytes; parsed, they take many times as much memory."""

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


def check_patterns(patterns: dict[str, str], videos: Collection[str], stores: Stores, *, where: str) -> None:
    """Check that every kind of label has a file for at least one video of a dataset.

    Args:
        patterns: Kind of label -> path or `s3://` address, with `{video}` where the id goes.
        videos: The ids of all videos of the dataset, held out or not.
        stores: Where the files lie.
        where: What to call the dataset in messages.

    Raises:
        ConfigError: A pattern has no file at all, so it is taken to be mistyped.
        StorageError: A store fails.
    """
    for kind, pattern in patterns.items():
        locations = (stores.locate(pattern.replace("{video}", video)) for video in videos)
        if not any(storage.size(name) is not None for storage, name in locations):
            raise ConfigError(
                f"{where}: labels.{kind}: expected {pattern} to be there for at least one of {len(videos)} videos, "
                "got none; correct the path, or leave the label out"
            )


def read_labels(locations: dict[str, str], stores: Stores) -> Labels:
    """Read a video's label files.

    Args:
        locations: Kind of label -> path or `s3://` address; all must exist.
        stores: Where they lie.

    Returns:
        Their rows.

    Raises:
        VideoError: A file is missing, is not UTF-8 CSV, or lacks a column, or a second is not a number.
    """
    return Labels({kind: _read(kind, location, stores) for kind, location in locations.items()})


def _read(kind: str, location: str, stores: Stores) -> list[Row]:
    storage, name = stores.locate(location)
    try:
        if (storage.size(name) or 0) > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE} bytes")
        reader = csv.reader(io.StringIO(storage.read(name).decode("utf-8-sig"), newline=""), strict=True)
        header, *lines = list(reader)
        time, value = header.index("second"), header.index(kind)
        rows = [(_finite(line[time]), line[value]) for line in lines if line]
    except (StorageError, UnicodeDecodeError, csv.Error, ValueError, IndexError) as error:
        raise VideoError(
            f"labels: {location}: expected a CSV file with the columns 'second' and {kind!r}: {error}"
        ) from None
    return sorted(rows, key=_second)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a second")
    return number


def _holding(rows: list[Row], start: Fraction, stop: Fraction) -> list[Row]:
    before = bisect_right(rows, start, key=_second)
    first = bisect_left(rows, _second(rows[before - 1]), key=_second) if before else 0
    return rows[first : bisect_left(rows, stop, key=_second)]


def _second(row: Row) -> Fraction:
    return Fraction(row[0])
