"""What a conversion has found, counted, and set beside what others have counted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from surgstream.configs.columns import columns
from surgstream.shards.releases.release import Column, Count, Row

NO_CLASS = "(none)"
"""How a table calls the rows that name no class."""


@dataclass
class Tally:
    """Rows of each video and class of a column.

    Attributes:
        column: The column.
        num_rows: By video.
        class_rows: By class, rows that name it.
        class_videos: By class, videos that have such rows.
    """

    column: Column
    num_rows: dict[str, int] = field(default_factory=dict)
    class_rows: Counter[str] = field(default_factory=Counter)
    class_videos: Counter[str] = field(default_factory=Counter)

    def add(self, video: str, rows: list[Row]) -> None:
        """Count the rows of a video."""
        found: Counter[str] = Counter()
        for _, label in rows:
            found.update(self.column.classes_of(label) or [NO_CLASS])

        self.num_rows[video] = len(rows)
        self.class_rows.update(found)
        self.class_videos.update(found.keys())

    def table_rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Column, class, videos and rows: of all first, then of each class, then of none."""
        name = self.column.name
        yield name, "all", f"{len(self.num_rows):,}", f"{sum(self.num_rows.values()):,}"

        if self.column.kind != "number":
            none = (NO_CLASS,) if self.class_rows[NO_CLASS] else ()
            for label in (*self.column.classes, *none):
                yield name, label, f"{self.class_videos[label]:,}", f"{self.class_rows[label]:,}"


def table(tallies: dict[str, Tally]) -> str:
    """Videos and rows of each column and class, as lines of text."""
    rows = [("column", "class", "videos", "rows")]
    for tally in tallies.values():
        rows += tally.table_rows()
    return "\n".join(columns(rows, left=2))


def difference(count: Count, tallies: dict[str, Tally]) -> str:
    """Tell how what was found is not what somebody has counted; empty where it is."""
    found = tallies[count.column].num_rows
    rows = {video: n for video, n in found.items() if not count.videos or video in count.videos}

    # Where videos are missing, so are their rows.
    for unit, expected, got in (
        ("videos", count.num_videos, len(rows)),
        ("rows", count.num_rows, sum(rows.values())),
    ):
        if expected is not None and expected != got:
            where = f"{count.column}, {count.what}"
            return f"{where}: expected {expected:,} {unit}, got {got:,} ({count.source})"
    return ""
