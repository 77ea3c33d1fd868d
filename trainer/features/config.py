"""What features are extracted, and where they are kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from surgstream.configs.places import Anywhere
from surgstream.configs.ranges import Range
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.labelled.config import TaskClipsConfig


@dataclass(frozen=True, kw_only=True)
class FeaturesRecipe:
    """Features of a frozen encoder for frames of a packed corpus.

    Attributes:
        out: The folder or address that they are written below.
        weights: The encoder: a checkpoint, an export, a published file or folder, `timm:MODEL`, `random` or `pixels`.
        seed: The key of `random` weights.
        task: The task whose labelled rows get features, in all its splits; null takes frames at `rows_per_second`.
        labels: The folder of the task's labels, or its `s3://` address; null takes those in `data.corpus`.
        clips: How the task's clips are seen; without a task `clips.view` alone counts, and `data.stride`.
        encoder: How the encoder is read and run.
        per: `pooled` keeps a vector for each clip, `slices` one for each of its slices of time.
        dtype: The numbers that are kept. `float16` keeps three digits, in half the bytes: of a feature whose mean is
            many times its deviation little is left when it is standardised.
        rows_per_second: Of each video, without a task: the frames that get features; null is every frame at `data.fps`.
        datasets: Datasets to take, without a task; null takes all.
        micro_batch_size: Clips that a rank encodes at once.
        timeout_seconds: How long a rank may wait for the others.
        data: The corpus, and how it is read.
    """

    out: Anywhere
    weights: str
    seed: Annotated[int, Range(0, 2**62)] = 0
    task: str | None = None
    labels: Anywhere | None = None
    clips: TaskClipsConfig = field(default_factory=TaskClipsConfig)
    encoder: FrozenConfig = field(default_factory=FrozenConfig)
    per: Literal["pooled", "slices"] = "pooled"
    dtype: Literal["float32", "float16"] = "float32"
    rows_per_second: Annotated[float, Range(0.001, 1000)] | None = 1.0
    datasets: tuple[str, ...] | None = None
    micro_batch_size: Annotated[int, Range(1, 2**16)] = 8
    timeout_seconds: Annotated[float, Range(1, 1e6)] = 1800.0
    data: DataConfig

    def problems(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if self.task and self.datasets is not None:
            yield f"datasets: expected null beside a task, got {list(self.datasets)}"
        if self.clips.balance != "none":
            yield (
                f"clips.balance: expected none, as features have no order, got {self.clips.balance}"
            )
        if self.data.datasets is not None:
            where = "null, as a task names its own" if self.task else "null; set datasets"
            yield f"data.datasets: expected {where}, got {list(self.data.datasets)}"
        if self.labels and not self.task:
            yield f"labels: expected none where there is no task, got {self.labels}"
        if not self.task and self.clips.stride is not None:
            yield f"clips.stride: expected null without a task, got {self.clips.stride}; set data.stride"
