"""Made-up tasks over corpora that exist only on paper, with labels in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.names import shard_name
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.labels.config import Kind, LabelFilesConfig
from surgstream.shards.labels.timeline import FrameTruth, Timeline, TrueRows
from surgstream.shards.labels.values import LabelValues, Value
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.batch import ClipName
from surgstream.trainer.evaluation.tasks.config import ClipConfig, TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_values
from surgstream.trainer.evaluation.tasks.split_config import SplitConfig
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.config import TaskClipsConfig

DATASET = "made_up"
CLASSES = ("cut", "rest", "sew", "look")

Parts = Sequence[tuple[int, int]]
"""First frame and number of frames of each part of a video."""

Rows = Mapping[float, Value | None]
"""What each second of a video says."""


def table_of(
    videos: Mapping[str, Parts], packed_fps: float = 5.0, fps: float | None = None
) -> FrameTable:
    """A corpus of one dataset, a shard a video."""
    shards = []
    for number, (video, parts) in enumerate(videos.items()):
        packed = PackedVideo(
            id=video,
            source="made up",
            parts=tuple(Part(first_frame=first, num_frames=count) for first, count in parts),
            first_row=0,
            fps=packed_fps,
            width=64,
            height=48,
        )
        shard = Shard(
            name=shard_name(DATASET, number),
            num_bytes=2000 * packed.num_frames,
            sha256="",
            index_sha256="",
            dataset=DATASET,
            specialty="made-up surgery",
            procedure="none",
            videos=(packed,),
        )
        shards.append(shard)
    return FrameTable(open_storage("."), shards, "of a manifest", fps)


class MemoryLabels:
    """Labels that are known. It is a `Labels`."""

    sha256 = "of labels"

    def __init__(
        self,
        videos: Mapping[str, Rows],
        values: LabelValues,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        self._groups = dict(groups or {})
        self._timelines = {
            video: Timeline(sorted(rows), [rows[second] for second in sorted(rows)], values)
            for video, rows in videos.items()
        }

    def has(self, video: str) -> bool:
        return video in self._timelines

    def groups(self) -> dict[str, str]:
        return self._groups

    def rows(self, video: str) -> TrueRows:
        return self._timelines[video].rows()

    def nearest(self, video: str, seconds: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        return self._timelines[video].nearest_row(seconds)

    def at(self, video: str, seconds: npt.NDArray[np.float64], frame_seconds: float) -> FrameTruth:
        return self._timelines[video].holding(seconds)


def task_config(
    split: Mapping[str, Sequence[str]],
    *,
    kind: Kind = "class",
    per_video: bool = False,
    **clip: Any,
) -> TaskConfig:
    """A task with one row a second, of clips of 4 frames."""
    return TaskConfig(
        name="made_up_task",
        version=1,
        title="Made up",
        dataset=DATASET,
        kind=kind,
        labels=LabelFilesConfig(files="videos.csv" if per_video else "{video}.csv", column="label"),
        classes=() if kind == "number" else CLASSES,
        split=SplitConfig(
            train=tuple(split.get("train", ())),
            val=tuple(split.get("val", ())),
            test=tuple(split.get("test", ())),
            source="ours",
        ),
        clip=ClipConfig(**({"num_frames": 4, "stride": 2} | clip)),
        metrics=("mae",) if kind == "number" else ("image_accuracy",),
        main="mae" if kind == "number" else "image_accuracy",
    )


def task_clips(
    config: TaskConfig,
    table: FrameTable,
    labels: Mapping[str, Rows],
    groups: Mapping[str, str] | None = None,
    **settings: Any,
) -> TaskClips:
    """The clips of a task."""
    return TaskClips(
        config,
        TaskClipsConfig(**settings),
        table,
        MemoryLabels(labels, label_values(config), groups),
        num_frames=config.clip.num_frames,
    )


def phases(num_seconds: int, num_classes: int = 4) -> dict[float, Value | None]:
    """All classes one after the other, a row a second."""
    return {float(second): second * num_classes // num_seconds for second in range(num_seconds)}


def names_of(table: Any) -> list[ClipName]:
    """All clips of a table by name, in order."""
    return [
        ClipName(place.dataset, place.video, place.frame)
        for size in table.sizes()
        for place in table.locate_all([size.name] * size.num_clips, range(size.num_clips))
    ]
