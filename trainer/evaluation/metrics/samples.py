"""What was predicted for videos beside what is true of them: the input of every metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.shards.labels.config import Kind as Kind

Floats = npt.NDArray[np.float64]

TaskKind = Literal["class", "multilabel", "number", "mask", "depth"]
"""What a label is: as in `Kind`, or the class or the distance of each pixel of a picture."""


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """What labels there are.

    Attributes:
        kind: What a label is.
        classes: Names of the C classes, in order; empty for numbers and depth. Of masks they are those of pixels from 1
            on, as 0 is none of them.
        late: For the relaxed phase metrics of M2CAI16: the classes that may be predicted, by true class, in the first
            seconds of one of its segments, as the phase before it may still be seen.
        early: Those that may be predicted in the last seconds of a segment.
        components: For triplets: the number of each class's instrument, verb, ..., by the component's name, each (C,);
            in the order in which the words for them stand in the classes' names, as `grasper/retract/liver`.
        null_classes: Numbers of the classes that stand for "no action", which some metrics leave out.
    """

    kind: TaskKind
    classes: tuple[str, ...] = ()
    late: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    early: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    components: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    null_classes: tuple[int, ...] = ()

    @property
    def is_dense(self) -> bool:
        """Whether each pixel has a label."""
        return self.kind in ("mask", "depth")

    @property
    def kind_of_rows(self) -> Kind:
        """What a label is, where rows have labels; a ConfigError where pixels have."""
        if self.kind == "mask" or self.kind == "depth":
            raise ConfigError(
                f"expected a task whose rows have labels, got one of kind {self.kind}; learn it by "
                "`surgstream probe` with the protocol dense_linear or dense_dpt"
            )
        return self.kind


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredVideo:
    """The n labelled rows of a video, frames or the video as a whole; rows without a label are none of them.

    Attributes:
        video: Its id.
        group: What it belongs to, as a patient or a surgeon; its own id where nothing is above it. What is of one group
            is not independent.
        seconds: (n,), the time of each row in the video, increasing.
        truth: Of classes (n,) int64; of multilabel (n, C) bool; of numbers (n,) float64; of pictures (n,) int64, the
            numbers of their frames in the video.
        predicted: Of classes (n,) int64, that of the highest score where there are scores; of numbers (n,) float64;
            None of multilabel; of pictures (n,) int64, their numbers in the file of predictions.
        scores: (n, C), higher is more likely; None where labels alone were predicted, and of numbers.
        images: Of pictures each metric's values by its name: (n,), or (n, C) where each class has its own; NaN where it
            is undefined.
    """

    video: str
    group: str
    seconds: Floats
    truth: npt.NDArray[Any]
    predicted: npt.NDArray[Any] | None
    scores: Floats | None
    images: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Its labelled rows, n."""
        return len(self.truth)


Videos = Sequence[ScoredVideo]
"""At least one, each with at least one row."""
