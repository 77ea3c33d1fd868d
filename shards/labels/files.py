"""Labels from files beside the shards."""

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.moments import Floats
from surgstream.shards.labels.tables import Table, finite, parse_table, read_file
from surgstream.shards.labels.timeline import FrameTruth, Timeline, TrueRows
from surgstream.shards.labels.values import LabelValues, Value
from surgstream.shards.storage.addresses import join
from surgstream.shards.storage.stores import Stores

VIDEO = "{video}"
"""Where the id of a video goes in the name of its file."""

GROUP = "group"
"""The column of what a video belongs to, in a file of all videos."""


class LabelFiles:
    """Labels of videos from CSV files, each read once. It is a `Labels`.

    Args:
        config: Where the files lie below the root, and how to read them.
        values: What labels there may be.
        root: The folder of labels, or its `s3://` address.
        stores: The stores to read from.
    """

    def __init__(
        self, config: LabelFilesConfig, values: LabelValues, root: str, stores: Stores
    ) -> None:
        self._config = config
        self._values = values
        self._root = root
        self._stores = stores
        self._hashes: dict[str, str] = {}
        self._timeline = cache(self._read_timeline)
        self._videos = cache(self._read_videos)

    @property
    def sha256(self) -> str:
        """SHA-256 over the sorted names, below the root, and SHA-256 of all files read so far."""
        lines = [f"{name} {digest}\n" for name, digest in sorted(self._hashes.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def has(self, video: str) -> bool:
        """Whether there are labels of a video: its file, or its row in that of all videos.

        Raises:
            LabelError: The file of all videos is missing or malformed.
            StorageError: A store fails.
        """
        if self._config.per_video:
            return video in self._videos()
        storage, name = self._stores.locate(self._location(self._name_of(video)))
        return storage.size(name) is not None

    def videos(self) -> frozenset[str]:
        """The ids of all videos with labels: those of their files, or of the rows of that of all videos.

        Raises:
            LabelError: The file of all videos is missing or malformed.
            StorageError: A store fails, or the folder cannot be listed.
        """
        if self._config.per_video:
            return frozenset(self._videos())

        before, _, after = self._config.files.partition(VIDEO)
        folder, _, _ = before.rpartition("/")
        storage, below = self._stores.locate(self._location(folder) if folder else self._root)
        top = f"{below}/" if below else ""
        start = f"{top}{before.removeprefix(folder).removeprefix('/')}"
        ids = (
            name[len(start) : len(name) - len(after)]
            for name in storage.sizes(below)
            if name.startswith(start) and name.endswith(after)
        )
        return frozenset(id for id in ids if id and "/" not in id)

    def rows(self, video: str) -> TrueRows:
        """The labelled rows of a video, as they stand in its file; one at second 0 where a video has one label.

        Raises:
            LabelError: The file is missing or malformed, says what the task does not know, or has no such video.
            StorageError: A store fails.
        """
        return self._timeline(video).rows()

    def nearest(self, video: str, seconds: Floats) -> npt.NDArray[Any]:
        """What the labelled rows nearest to some times say; see `Labels.nearest`, and for errors `rows`."""
        return self._timeline(video).nearest_row(seconds)

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames of a video; see `Labels.at`, and for errors `rows`."""
        timeline = self._timeline(video)
        if self._config.per_video:
            return timeline.holding(np.zeros(len(seconds)))
        if self._config.at == "instant":
            return timeline.nearest(seconds, frame_seconds)
        return timeline.holding(seconds)

    def groups(self) -> dict[str, str]:
        """What videos belong to, where their file says so in a column `group`: by id, those that belong to something.

        Raises:
            LabelError: See `rows`.
            StorageError: A store fails.
        """
        if not self._config.per_video:
            return {}
        return {video: group for video, (_, group) in self._videos().items() if group}

    def _read_timeline(self, video: str) -> Timeline:
        if self._config.per_video:
            return Timeline([0.0], [self._value_of(video)], self._values)

        name = self._name_of(video)
        rows: dict[float, Value | None] = {}
        for line, (text, label) in self._lines(name, "second"):
            where = f"{self._location(name)}:{line}"
            try:
                second = finite(text)
            except ValueError:
                raise LabelError(f"{where}: expected a second, got {text[:80]!r}") from None
            if second in rows:
                raise LabelError(f"{where}: expected seconds that differ, got {text} twice")
            rows[second] = self._read(label, where)

        in_order = sorted(rows)
        return Timeline(in_order, [rows[second] for second in in_order], self._values)

    def _value_of(self, video: str) -> Value | None:
        videos = self._videos()
        if video not in videos:
            where = self._location(self._config.files)
            hint = did_you_mean(video, videos)
            raise LabelError(f"{where}: expected a row of the video {video!r}, got none{hint}")
        return videos[video][0]

    def _read_videos(self) -> dict[str, tuple[Value | None, str]]:
        """The label and the group of each video; an empty group where it belongs to nothing."""
        videos: dict[str, tuple[Value | None, str]] = {}
        for line, (video, label, *group) in self._lines(self._config.files, "video", GROUP):
            where = f"{self._location(self._config.files)}:{line}"
            if video in videos:
                raise LabelError(f"{where}: expected one row a video, got {video!r} twice")
            videos[video] = (self._read(label, where), "".join(group))
        return videos

    def _lines(self, name: str, key: str, *more: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The cells of a file's rows: of the column `key`, of that of labels, and of those of `more` that it has."""
        column = self._config.column
        try:
            table = self._read_table(name)
            if not {key, column} <= {*table.header}:
                raise ValueError(
                    f"got {','.join(table.header)[:200]!r}; "
                    "`surgstream labels` makes such files of public ones"
                )
            extra = [name for name in more if name in table.header]
            yield from table.columns(key, column, *extra)
        except ValueError as error:
            expected = f"expected a CSV file with the columns {key!r} and {column!r}"
            raise LabelError(f"{self._location(name)}: {expected}: {error}") from None

    def _read_table(self, name: str) -> Table:
        data = read_file(self._location(name), self._stores)
        self._hashes[name] = hashlib.sha256(data).hexdigest()
        return parse_table(data)

    def _read(self, label: str, where: str) -> Value | None:
        try:
            return self._values.read(label, self._config)
        except ValueError as error:
            raise LabelError(f"{where}: {error}") from None

    def _name_of(self, video: str) -> str:
        """The file of a video, below the root."""
        return self._config.files.replace(VIDEO, video)

    def _location(self, name: str) -> str:
        return join(self._root, name)
