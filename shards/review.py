"""The review: what a person has decided about stretches of videos, as a CSV file.

    dataset,video,start,stop,decision
    cholec80,video01,0,31.5,drop
    cholec80,video01,1790,1795,keep

`start` and `stop` are seconds after a video's first picture, and `video` is its id as the report has it. `drop` leaves
the frames between them out; `keep` keeps them although a rule would drop them. Of decisions that overlap the later line
holds. Further columns, such as a remark, are not read.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError

COLUMNS = ("dataset", "video", "start", "stop", "decision")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a stretch of a video is kept; in seconds after its first picture."""

    start: float
    stop: float
    keep: bool


Review = dict[tuple[str, str], tuple[Decision, ...]]
"""By dataset and id of the video."""


def load_review(path: Path) -> Review:
    """Read a review.

    Raises:
        ConfigError: It cannot be read, or a line is not as described above.
    """
    try:
        return _parse(path.read_text(encoding="utf-8-sig"), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"review: expected a CSV file: {error}") from None


def _parse(text: str, path: Path) -> Review:
    rows = csv.DictReader(io.StringIO(text), restval="")
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ConfigError(f"review: {path}: expected the columns {', '.join(COLUMNS)}; {missing[0]} is missing")
    review: Review = {}
    for row in rows:
        key = row["dataset"], row["video"]
        review[key] = (*review.get(key, ()), _decision(row, f"review: {path}: line {rows.line_num}"))
    return review


def _decision(row: dict[str, str], where: str) -> Decision:
    try:
        start, stop = float(row["start"]), float(row["stop"])
    except (TypeError, ValueError):
        start = stop = math.nan
    if not 0 <= start < stop < math.inf:
        raise ConfigError(f"{where}: expected seconds with start below stop, got {row['start']!r} to {row['stop']!r}")
    if row["decision"] not in ("keep", "drop"):
        raise ConfigError(f"{where}: decision: expected keep or drop, got {row['decision']!r}")
    return Decision(start=start, stop=stop, keep=row["decision"] == "keep")
