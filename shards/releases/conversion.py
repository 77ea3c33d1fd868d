"""The labels of a release as our CSV files, all of them or none."""

import csv
import io
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from surgstream.configs.files import write_atomically
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.release import Column, Release, Row, VideoLabel
from surgstream.shards.releases.tally import Tally, difference, table

_VIDEO = re.compile(r"(?!\.)[^/\x00-\x1f\x7f]+")
_MAX_VIDEO_BYTES = 200
"""A file's name, with what `write_atomically` adds to it, has 255 at most."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A release whose labels were written.

    Attributes:
        release: The release.
        folder: Where its files are.
        tallies: What they hold, by column.
        notes: What a user should know of it, a sentence each.
    """

    release: Release
    folder: Path
    tallies: dict[str, Tally]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Format what was written."""
        return "\n".join([f"{self.folder}: {self.release.title}", table(self.tallies), *self.notes])


def convert(
    release: Release, root: Path, out: Path, *, allow_other_counts: bool = False
) -> Converted:
    """Write the labels of a release.

    Args:
        release: The release.
        root: The folder in which it lies.
        out: The folder to write into: `RELEASE/COLUMN/VIDEO.csv` for seconds, `RELEASE/COLUMN.csv` for whole videos.
        allow_other_counts: Whether to write also what is not as many rows as were published.

    Raises:
        ReleaseError: The folder to write is not empty, a file is missing or damaged, or counts are not those published.
        OSError: A file could not be read or written.
    """
    folder = out / release.name
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ReleaseError(f"{folder}: exists and is not empty; choose another folder or delete it")

    # Beside the folder, so that renaming stays within one file system.
    unfinished = out / f".{release.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        tallies = _write(release, root, unfinished)
        notes = tuple(_notes(release, root, tallies, allow_other_counts))
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Converted(release=release, folder=folder, tallies=tallies, notes=notes)


def _write(release: Release, root: Path, folder: Path) -> dict[str, Tally]:
    """Write all files of a release, and count what they hold."""
    tallies = {column.name: Tally(column) for column in release.columns}
    whole: dict[str, list[VideoLabel]] = {}

    for labels in release.read(root):
        tally = tallies[labels.column]
        rows = [(0.0, labels.label)] if isinstance(labels, VideoLabel) else list(labels.rows)
        where = f"{root}: {release.title}: {labels.column} of {labels.video!r:.80}"
        _check_rows(tally, labels.video, rows, where)
        for second, label in rows:
            _check_label(tally.column, label, f"{where}: second {second:g}")
        tally.add(labels.video, rows)

        if isinstance(labels, VideoLabel):
            whole.setdefault(labels.column, []).append(labels)
        else:
            _write_rows(folder, labels.column, labels.video, rows)

    for column, videos in whole.items():
        _write_videos(folder, column, videos)
    return tallies


def _check_rows(tally: Tally, video: str, rows: list[Row], where: str) -> None:
    """Raise ReleaseError for rows that no reader could make sense of."""
    if not _VIDEO.fullmatch(video) or len(video.encode()) > _MAX_VIDEO_BYTES:
        raise ReleaseError(f"{where}: expected a video's name, got {video!r:.80}")
    if video in tally.num_rows:
        raise ReleaseError(f"{where}: expected it once, got it twice")
    if not rows:
        raise ReleaseError(f"{where}: expected labels, got none")

    seconds = [second for second, _ in rows]
    for before, second in pairwise([-1.0, *seconds]):
        if not (0 <= second < math.inf and before < second):
            raise ReleaseError(
                f"{where}: expected seconds that increase from 0, got {second:g} after {before:g}"
            )


def _check_label(column: Column, label: str, where: str) -> None:
    """Raise ReleaseError for a label that the release's column cannot have."""
    if column.kind == "number":
        if not _is_number(label):
            raise ReleaseError(f"{where}: expected a number, got {label!r}")
        return

    if column.kind == "class" and not label:
        raise ReleaseError(f"{where}: expected a label, got none")
    for name in column.classes_of(label):
        if name not in column.classes:
            hint = did_you_mean(name, column.classes)
            raise ReleaseError(f"{where}: expected a known class, got {name!r}{hint}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _write_rows(folder: Path, column: str, video: str, rows: list[Row]) -> None:
    path = folder / column / f"{video}.csv"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, _csv(["second", column], rows))


def _write_videos(folder: Path, column: str, videos: list[VideoLabel]) -> None:
    header = ["video", column, "group"]
    rows = sorted((labels.video, labels.label, labels.group) for labels in videos)

    # Where the release tells no groups, there is no such column.
    num_columns = 3 if any(labels.group for labels in videos) else 2
    content = _csv(header[:num_columns], [row[:num_columns] for row in rows])
    write_atomically(folder / f"{column}.csv", content)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _notes(
    release: Release, root: Path, tallies: dict[str, Tally], allow_other_counts: bool
) -> Iterator[str]:
    """Set what was found beside what others have counted.

    Raises:
        ReleaseError: A count that is certain is another, and that is not allowed.
    """
    wrong = []
    for count in release.counts:
        found = difference(count, tallies)
        if found and count.certain:
            wrong.append(found)
        if found:
            yield f"not as published: {found}"

    if wrong and not allow_other_counts:
        raise ReleaseError(
            f"{root}: {release.title}: {'; '.join(wrong)}; --allow-other-counts writes them all "
            "the same"
        )
    if not release.verified:
        yield (
            f"not verified: layout and names are not from {release.title} itself but from "
            f"{release.source}; look at a few labels beside their video"
        )
