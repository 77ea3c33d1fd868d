"""Labels that were packed with the frames: what there is where no files lie beside the shards."""

from functools import cache

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.timeline import Floats, FrameTruth, Timeline, TrueRows
from surgstream.shards.labels.values import LabelValues, Value
from surgstream.shards.reading.frame_labels import FrameLabels
from surgstream.shards.reading.frame_table import FrameTable


class PackedLabels:
    """Labels of the shown frames of a dataset's videos. It is a `Labels`.

    Args:
        config: How to read a label; `column` is the kind of label in the corpus.
        values: What labels there may be.
        table: The corpus.
        dataset: The dataset in it.

    Raises:
        ConfigError: Labels are those of instants or of whole videos: packed ones hold until the next.
    """

    def __init__(
        self, config: LabelFilesConfig, values: LabelValues, table: FrameTable, dataset: str
    ) -> None:
        if config.per_video or config.at == "instant":
            raise ConfigError(
                f"labels: expected files for labels of {'videos' if config.per_video else 'instants'}, "
                "got those packed with the frames, which hold until the next; name the folder of labels"
            )
        self._config = config
        self._values = values
        self._table = table
        self._dataset = dataset
        self._labels = FrameLabels(table, config.column)
        self._clips = _clips_by_video(table, dataset)
        self._timeline = cache(self._read_timeline)

    @property
    def sha256(self) -> str:
        """SHA-256 of the corpus's manifest."""
        return self._table.sha256

    def has(self, video: str) -> bool:
        """Whether the corpus has a video."""
        return video in self._clips

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

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames of a video; see `Labels.at`, and for errors `rows`."""
        return self._timeline(video).holding(seconds)

    def _read_timeline(self, video: str) -> Timeline:
        where = f"{self._table.storage.uri}: {self._dataset}"
        if video not in self._clips:
            hint = did_you_mean(video, self._clips)
            raise LabelError(f"{where}: expected the video {video!r}, got none of this id{hint}")

        seconds: list[float] = []
        values: list[Value | None] = []
        for second, label in self._labels.moments(self._dataset, self._clips[video]):
            try:
                value = None if label is None else self._values.read(label, self._config)
            except ValueError as error:
                raise LabelError(f"{where}: {video}, second {float(second):g}: {error}") from None
            seconds.append(float(second))
            values.append(value)
        return Timeline(seconds, values, self._values)


def _clips_by_video(table: FrameTable, dataset: str) -> dict[str, list[int]]:
    """The clips of each video, in order of time."""
    ends = np.cumsum(table.part_frames(dataset))
    starts = ends - table.part_frames(dataset)

    clips: dict[str, list[int]] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        # A part may show no frame at all.
        if start < end:
            video = table.locate(dataset, start).video
            clips.setdefault(video, []).extend(range(start, end))
    return clips
