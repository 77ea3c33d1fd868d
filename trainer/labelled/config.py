"""Which labelled clips of a task a run takes, and how it sees them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from surgstream.configs.ranges import Range

VIEWS = {
    "centre": ("centre",),
    "squash": ("squash",),
    "three_crops": ("start", "centre", "end"),
}
"""The views of a clip that is judged, by the name of the setting; see `trainer.data.config.View`."""


@dataclass(frozen=True, kw_only=True)
class TaskClipsConfig:
    """The labelled clips of a task.

    Attributes:
        share: Share of the training videos, by whole groups; a smaller one is a part of a larger one.
        balance: `classes` draws every class as often, or by `data.order.weights`, which then name classes as
            `DATASET/CLASS`; `none` draws every clip as often. Of one class a row alone.
        stride: Frames, at the corpus's rate, from one frame of a clip to the next; `uniform` spreads them over the
            video; null is the task's.
        view: What is seen of a picture when a clip is judged: `squash`, all of it at another aspect ratio; `centre`,
            the largest centred square; `three_crops`, such squares at both ends of the longer side as well.
        segments: Of a task that labels videos as a whole: clips of each video, evenly spread, whose predictions are
            averaged. `uniform` clips are one.
    """

    share: Annotated[float, Range(0.001, 1)] = 1.0
    balance: Literal["none", "classes"] = "none"
    stride: Annotated[int, Range(0, 10**6)] | Literal["uniform"] | None = None
    view: Literal["squash", "centre", "three_crops"] = "squash"
    segments: Annotated[int, Range(1, 64)] = 1


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """The choice among the weights of a run that learns a task.

    Attributes:
        by: `best` keeps the weights with the best main metric of the task on its validation videos; `last` takes those
            of the last step, and validates all the same where there are such videos.
        every_epochs: Epochs from one validation to the next.
    """

    by: Literal["best", "last"] = "best"
    every_epochs: Annotated[float, Range(1e-6, 1e6)] = 1.0
