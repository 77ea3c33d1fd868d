"""The labels of one video in order of time: its labelled rows, and what holds at any second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from surgstream.shards.labels.values import LabelValues, Value

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueRows:
    """The n labelled rows of a video.

    Attributes:
        seconds: (n,), increasing.
        truth: As `LabelValues.stack` gives it.
    """

    seconds: Floats
    truth: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """The labels of n frames.

    Attributes:
        labelled: (n,) bool, whether a frame has a label.
        truth: As `LabelValues.stack` gives it.
    """

    labelled: npt.NDArray[np.bool_]
    truth: npt.NDArray[Any]


class Labels(Protocol):
    """A source of labels: files beside the shards, or what was packed with the frames."""

    @property
    def sha256(self) -> str:
        """SHA-256 of what the labels were read from so far."""

    def has(self, video: str) -> bool:
        """Whether there are labels of a video."""

    def groups(self) -> dict[str, str]:
        """What videos belong to, by id, where the source says it."""

    def rows(self, video: str) -> TrueRows:
        """The labelled rows of a video: one for each scored moment."""

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames of a video.

        Args:
            video: The id of the video.
            seconds: (n,), the times of the frames.
            frame_seconds: The time from one frame to the next.
        """


class Timeline:
    """A video's rows, labelled or not.

    Args:
        seconds: Increasing.
        values: What each row says; None where it says that there is no label.
        space: What labels there may be.
    """

    def __init__(
        self, seconds: Sequence[float], values: Sequence[Value | None], space: LabelValues
    ) -> None:
        self._seconds = np.array(seconds, np.float64)
        self._labelled = np.array([value is not None for value in values], bool)
        self._truth = space.stack(values)
        self._nothing = space.stack([None])

    def rows(self) -> TrueRows:
        """The labelled rows."""
        return TrueRows(self._seconds[self._labelled], self._truth[self._labelled])

    def holding(self, seconds: Floats) -> FrameTruth:
        """The labels that hold at some times, each until the next row."""
        rows = np.searchsorted(self._seconds, seconds, side="right") - 1
        return self._take(rows, rows >= 0)

    def nearest(self, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames at some times: that of the row nearest to a frame, if no other frame is nearer to it.

        A row halfway between two frames is the later one's; of two rows equally near a frame has the earlier one's.
        """
        if not len(self._seconds):
            return self.holding(seconds)

        after = np.searchsorted(self._seconds, seconds).clip(max=len(self._seconds) - 1)
        before = (after - 1).clip(min=0)
        is_nearer = np.abs(self._seconds[before] - seconds) <= np.abs(
            self._seconds[after] - seconds
        )
        rows = np.where(is_nearer, before, after)

        distance = self._seconds[rows] - seconds
        half = frame_seconds / 2
        return self._take(rows, (-half <= distance) & (distance < half))

    def _take(self, rows: npt.NDArray[np.int64], found: npt.NDArray[np.bool_]) -> FrameTruth:
        """The labels of some rows, but none where a row was not `found`."""
        # One row more stands for "none", and is the last: number -1.
        labelled = np.append(self._labelled, False)
        truth = np.concatenate([self._truth, self._nothing])
        rows = np.where(found, rows, -1)
        return FrameTruth(labelled[rows], truth[rows])
