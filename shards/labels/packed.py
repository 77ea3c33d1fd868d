"""Labels that were packed with the frames: what there is where no files lie beside the shards."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.moments import Floats
from surgstream.shards.labels.timeline import FrameTruth, Timeline, TrueRows
from surgstream.shards.labels.values import LabelValues, Value
from surgstream.shards.reading.frame_labels import FrameLabels
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import ShownPart
from surgstream.shards.storage.base import Storage


class PackedLabels:
    """Labels of the shown frames of a dataset's videos. It is a `Labels`.

    Args:
        config: How to read a label; `column` is the kind of label in the corpus.
        values: What labels there may be.
        table: The corpus.
        dataset: The dataset in it.

    Raises:
        ConfigError: Labels are those of instants or of whole videos: packed ones hold until the next. Or the corpus has
            no such dataset.
    """

    def __init__(
        self, config: LabelFilesConfig, values: LabelValues, table: FrameTable, dataset: str
    ) -> None:
        if config.per_video or config.at == "instant":
            raise ConfigError(
                f"labels: expected files for labels of {'videos' if config.per_video else 'instants'}, "
                "got those packed with the frames, which hold until the next; name the folder of labels"
            )
        known = [size.name for size in table.sizes()]
        if dataset not in known:
            raise ConfigError(
                f"{table.storage.uri}: expected the dataset {dataset!r}, got none of this name"
                f"{did_you_mean(dataset, known)}"
            )
        self._config = config
        self._values = values
        self._table = table
        self._dataset = dataset
        self._labels = FrameLabels(table, config.column)
        self._parts = _parts_by_video(table, dataset)
        self._timeline = cache(self._read_timeline)

    @staticmethod
    def open(
        config: LabelFilesConfig,
        values: LabelValues,
        corpus: Storage,
        dataset: str,
        *,
        rows_per_second: float,
    ) -> "PackedLabels":
        """Open the labels of a corpus, at the rate of the rows that are scored.

        Args:
            config: How to read a label.
            values: What labels there may be.
            corpus: The packed frames.
            dataset: The dataset in it.
            rows_per_second: Rows a second.

        Raises:
            ConfigError: See the constructor; or a video was packed at no whole multiple of the rate.
            ManifestError: The manifest is missing or wrong.
            StorageError: The store cannot be read.
        """
        table = FrameTable.open(corpus, fps=rows_per_second, check=False)
        return PackedLabels(config, values, table, dataset)

    @property
    def sha256(self) -> str:
        """SHA-256 of the corpus's manifest."""
        return self._table.sha256

    def has(self, video: str) -> bool:
        """Whether the corpus has a video."""
        return video in self._parts

    def videos(self) -> frozenset[str]:
        """The ids of the dataset's videos in the corpus."""
        return frozenset(self._parts)

    def groups(self) -> dict[str, str]:
        """What videos belong to, which a corpus does not say."""
        return {}

    def rows(self, video: str) -> TrueRows:
        """The labelled ones of a video's shown frames.

        Raises:
            LabelError: There is no such video, or a label says what the task does not know.
            ManifestError: The corpus is damaged.
            StorageError: It cannot be read.
        """
        return self._timeline(video).rows()

    def nearest(self, video: str, seconds: Floats) -> npt.NDArray[Any]:
        """What the labelled frames nearest to some times say; see `Labels.nearest`, and for errors `rows`."""
        return self._timeline(video).nearest_row(seconds)

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames of a video; see `Labels.at`, and for errors `rows`."""
        return self._timeline(video).holding(seconds)

    def _read_timeline(self, video: str) -> Timeline:
        where = f"{self._table.storage.uri}: {self._dataset}"
        if video not in self._parts:
            hint = did_you_mean(video, self._parts)
            raise LabelError(f"{where}: expected the video {video!r}, got none of this id{hint}")

        seconds: list[float] = []
        labels: list[str | None] = []
        for part in self._parts[video]:
            seconds += (np.array(part.frames) / part.fps).tolist()
            labels += self._labels.of_part(self._dataset, part)

        # Most frames say what the one before them said.
        read = cache(lambda label: self._values.read(label, self._config))
        values: list[Value | None] = []
        for second, label in zip(seconds, labels, strict=True):
            try:
                values.append(None if label is None else read(label))
            except ValueError as error:
                raise LabelError(f"{where}: {video}, second {second:g}: {error}") from None
        return Timeline(seconds, values, self._values)


def _parts_by_video(table: FrameTable, dataset: str) -> dict[str, list[ShownPart]]:
    """The parts of each video that show a frame, in order of time."""
    parts: dict[str, list[ShownPart]] = {}
    for part in table.parts(dataset):
        if part.frames:
            parts.setdefault(part.video, []).append(part)
    return parts
