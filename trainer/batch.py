"""A micro-batch of clips, as the data side hands it to the training side."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ClipName(NamedTuple):
    """The identity of a clip: its frames are those of the video that end at its anchor frame.

    Where the clip stands in for a damaged one of the same dataset, `planned` is the damaged one's video and anchor
    frame.
    """

    dataset: str
    video: str
    anchor_frame: int
    planned: tuple[str, int] | None = None

    def __str__(self) -> str:
        """Format the name for messages."""
        return f"{self.dataset}/{self.video}@{self.anchor_frame}"


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """A micro-batch of B clips.

    Attributes:
        clips: (B, C, T, H, W) float32 on the device, RGB in [0, 1] normalised by `IMAGENET_MEAN` and `IMAGENET_STD`;
            may be a strided view of (B, T, C, H, W).
        draws: (B,) int64 on the host, the clips' draw numbers: the key of every random choice about a clip.
        names: B clips by name, for logs and messages.
        valid: (B,) bool on the host; False for clips that fill up the last batch of a finite pass and must not count.
        labels: What is true of the clips, on the device: of classes (B,) int64; of several (B, C) float32; of numbers
            (B,) float32; None where nothing is asked of them.
        stills: (B,) bool on the host, the clips whose frames are one picture: still images, and frames that a task
            shows alone. None is one by default.
        step_draw: Draw number of the first clip of the optimizer step, over all ranks: the key of what a step draws
            once. The training loop sets it.
    """

    clips: Tensor
    draws: npt.NDArray[np.int64]
    names: tuple[ClipName, ...]
    valid: npt.NDArray[np.bool_]
    labels: Tensor | None = None
    stills: npt.NDArray[np.bool_] = field(default=None)  # type: ignore[arg-type]
    step_draw: int = 0

    def __post_init__(self) -> None:
        """Take clips for videos where nothing else is said."""
        if self.stills is None:
            object.__setattr__(self, "stills", np.zeros(len(self.draws), bool))

    def without_padding(self) -> "ClipBatch":
        """Keep the valid clips; all clips where none is valid, so that there is always something to compute."""
        if self.valid.all() or not self.valid.any():
            return self

        return self.take(np.flatnonzero(self.valid))

    def take(self, rows: npt.NDArray[np.int64]) -> "ClipBatch":
        """Keep some of the clips, by their places (b,) in the batch."""
        kept = rows.tolist()
        return ClipBatch(
            clips=self.clips[kept],
            draws=self.draws[kept],
            names=tuple(self.names[i] for i in kept),
            valid=self.valid[kept],
            labels=None if self.labels is None else self.labels[kept],
            stills=self.stills[kept],
            step_draw=self.step_draw,
        )
