"""Frames that have a picture in a layer of the corpus, such as a mask, as the labelled rows of their videos."""

import hashlib
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import LabelError
from surgstream.shards.labels.moments import Floats
from surgstream.shards.labels.timeline import FrameTruth, Timeline, TrueRows
from surgstream.shards.labels.values import LabelValues, Value
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.layers import Layer, open_layer
from surgstream.shards.storage.base import Storage


class LayerLabels:
    """The shown frames of a dataset's videos that have a picture in a layer. It is a `Labels`.

    What a row says is the number of its frame in the video, by which `layer` has the picture.

    Args:
        layer: The layer.
        table: The corpus, at the rate of the rows that are scored.
        dataset: The dataset in it.

    Attributes:
        layer: The layer.

    Raises:
        ConfigError: The corpus has no such dataset, or the dataset lacks the layer.
    """

    def __init__(self, layer: Layer, table: FrameTable, dataset: str) -> None:
        known = [size.name for size in table.sizes()]
        where = table.storage.uri
        if dataset not in known:
            raise ConfigError(
                f"{where}: expected the dataset {dataset!r}, got none of this name"
                f"{did_you_mean(dataset, known)}"
            )
        if not layer.has(dataset):
            raise ConfigError(
                f"{where}: expected the layer {layer.manifest.layer!r} of {dataset}, which has none; "
                "name it under `layers` in the corpus file, and run `surgstream pack` again"
            )
        self.layer = layer
        self._table = table
        self._dataset = dataset

        # The parts of a video follow each other.
        self._parts = {
            video: list(parts)
            for video, parts in groupby(table.parts(dataset), lambda part: part.video)
        }
        self._timeline = cache(self._read_timeline)

    @staticmethod
    def open(corpus: Storage, dataset: str, layer: str, *, rows_per_second: float) -> "LayerLabels":
        """Open a layer of a corpus, at the rate of the rows that are scored.

        Args:
            corpus: The packed frames.
            dataset: The dataset in it.
            layer: The name of the layer.
            rows_per_second: Rows a second.

        Raises:
            ConfigError: See the constructor; or a video was packed at no whole multiple of the rate.
            ManifestError: There is no such layer, or a manifest is damaged.
            StorageError: The store cannot be read.
        """
        table = FrameTable.open(corpus, fps=rows_per_second, check=False)
        found = open_layer(corpus, layer, table.sha256)
        return LayerLabels(found, table, dataset)

    @property
    def sha256(self) -> str:
        """SHA-256 of the corpus's manifest and of the layer's."""
        return hashlib.sha256(self.layer.manifest.to_bytes()).hexdigest()

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
        """The shown frames of a video that have a picture.

        Raises:
            CorruptSampleError: The layer's index is not what was packed.
            LabelError: There is no such video.
            StorageError: The store cannot be read.
        """
        return self._timeline(video).rows()

    def nearest(self, video: str, seconds: Floats) -> npt.NDArray[Any]:
        """The rows nearest to some times; see `Labels.nearest`, and for errors `rows`."""
        return self._timeline(video).nearest_row(seconds)

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The rows at frames of a video, each of its own frame alone; see `Labels.at`, and for errors `rows`."""
        return self._timeline(video).nearest(seconds, frame_seconds)

    def _read_timeline(self, video: str) -> Timeline:
        if video not in self._parts:
            where = f"{self._table.storage.uri}: {self._dataset}"
            hint = did_you_mean(video, self._parts)
            raise LabelError(f"{where}: expected the video {video!r}, got none of this id{hint}")

        have_one = self.layer.frames(self._dataset, video)
        seconds: list[float] = []
        values: list[Value | None] = []
        for part in self._parts[video]:
            frames = np.array(part.frames, np.int64)
            shown = frames[np.isin(frames, have_one)]
            seconds += (shown / part.fps).tolist()
            values += shown.tolist()
        return Timeline(seconds, values, LabelValues(kind="class"))
