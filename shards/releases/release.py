"""A public release of labels: its columns, how to read it, and how many rows others have counted in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SEPARATOR = ";"
"""Between the labels of a row of several."""

PART_SEPARATOR = "/"
"""Between the parts of a label, such as instrument, verb and target."""

Row = tuple[float, str]
"""A second of a video, and its label. No text, in a multilabel column, is the label of a second that has no class."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A kind of label.

    Attributes:
        name: Its name, that of the column and of the folder or file.
        kind: One class a row; any number of classes a row; or a number.
        classes: All classes that a row may name, in the order of the release; empty for numbers.
    """

    name: str
    kind: Literal["class", "multilabel", "number"]
    classes: tuple[str, ...] = ()

    def classes_of(self, label: str) -> list[str]:
        """The classes that a label names."""
        if self.kind == "number" or not label:
            return []
        return label.split(SEPARATOR) if self.kind == "multilabel" else [label]


@dataclass(frozen=True, kw_only=True)
class VideoRows:
    """The labels of the seconds of a video.

    Attributes:
        column: Name of the column.
        video: The video's id: the name of its file without suffix, as `surgstream pack` takes it.
        rows: Of each labelled second one; of seconds without a label none.
    """

    column: str
    video: str
    rows: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class VideoLabel:
    """The label of a whole video or clip.

    Attributes:
        column: Name of the column.
        video: The video's id, as above.
        label: Its label.
        group: What the video belongs to, such as a surgeon or a source video; no text where the release tells none.
    """

    column: str
    video: str
    label: str
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many rows somebody has counted.

    Attributes:
        what: The videos in a word, such as `train`.
        column: Name of the column that was counted.
        videos: Their ids; all of the release where none is given.
        num_videos: How many videos of them have rows.
        num_rows: How many rows they have together.
        source: Who says so.
        certain: Whether another number means that the files are not those of the release; else it is told, no more.
    """

    what: str
    column: str
    videos: frozenset[str] = frozenset()
    num_videos: int | None = None
    num_rows: int | None = None
    source: str
    certain: bool = True


@dataclass(frozen=True, kw_only=True)
class Release:
    """A public release.

    Attributes:
        name: Its name, as a user writes it.
        title: For people, such as `Cholec80`.
        layout: The files that are read, as paths below the release's folder, with `NN` for a number.
        columns: Its columns.
        counts: What others have counted.
        verified: Whether the layout is as the release's own files or description have it, or only as the code of others
            reads it.
        source: Where the layout was found, such as a repository.
        read: From the release's folder to its labels, each video at most once a column, in any order.
    """

    name: str
    title: str
    layout: tuple[str, ...]
    columns: tuple[Column, ...]
    counts: tuple[Count, ...] = ()
    verified: bool
    source: str
    read: Callable[[Path], Iterator[VideoRows | VideoLabel]]
