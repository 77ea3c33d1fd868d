"""The review: a person's decisions about stretches of videos, as a CSV file.

    dataset,video,start,stop,decision
    cholec80,video01,0,31.5,drop
    cholec80,video01,1790,1795,keep

`start` and `stop` are seconds after a video's first picture, and `video` is its id as the report has it. `drop` leaves
the frames between them out; `keep` keeps them although a rule would drop them. Where decisions overlap, the later line
holds. Further columns, such as a remark, are not read.
"""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import UnusableFileError
from surgstream.shards.storage.stores import Stores

COLUMNS = ("dataset", "video", "start", "stop", "decision")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a stretch of a video is kept; in seconds after its first picture."""

    start: float
    stop: float
    keep: bool


Review = dict[tuple[str, str], tuple[Decision, ...]]
"""By dataset and id of the video."""


def load_review(location: str, stores: Stores) -> Review:
    """Read a review.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: The stores to read from.

    Raises:
        ConfigError: It is not there, or a line is not as described above.
        StorageError: A store fails.
    """
    storage, name = stores.locate(location)
    try:
        if storage.size(name) is None:
            raise ConfigError(f"review: expected a CSV file: {location} is missing")
        return _parse(storage.read(name).decode("utf-8-sig"), location)
    except (UnusableFileError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"review: {location}: expected a CSV file: {error}") from None


def _parse(text: str, location: str) -> Review:
    rows = csv.DictReader(io.StringIO(text), restval="")
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ConfigError(
            f"review: {location}: expected the columns {', '.join(COLUMNS)}; "
            f"{missing[0]} is missing"
        )

    decisions = []
    for row in rows:
        where = f"review: {location}: line {rows.line_num}"
        decisions.append((row["dataset"], row["video"], _decision(row, where)))
    return by_video(decisions)


def by_video(decisions: Iterable[tuple[str, str, Decision]]) -> Review:
    """Group decisions by dataset and video; the order of a video's decisions is kept."""
    review: dict[tuple[str, str], list[Decision]] = {}
    for dataset, video, decision in decisions:
        review.setdefault((dataset, video), []).append(decision)
    return {key: tuple(its_own) for key, its_own in review.items()}


def _decision(row: dict[str, str], where: str) -> Decision:
    try:
        start = float(row["start"])
        stop = float(row["stop"])
    except (TypeError, ValueError):
        start = stop = math.nan  # every comparison with it is false
    if not 0 <= start < stop < math.inf:
        raise ConfigError(
            f"{where}: expected seconds with start below stop, "
            f"got {row['start']!r} to {row['stop']!r}"
        )
    if row["decision"] not in ("keep", "drop"):
        raise ConfigError(f"{where}: decision: expected keep or drop, got {row['decision']!r}")
    return Decision(start=start, stop=stop, keep=row["decision"] == "keep")
