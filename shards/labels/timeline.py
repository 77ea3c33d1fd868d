"""The labels of one video in order of time: its labelled rows, and what holds at any second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from surgstream.shards.labels.moments import Floats, Int64, Moments
from surgstream.shards.labels.values import LabelValues, Value


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

    def videos(self) -> frozenset[str]:
        """The ids of all videos that there are labels of, or that might have some."""

    def groups(self) -> dict[str, str]:
        """What videos belong to, by id, where the source says it."""

    def rows(self, video: str) -> TrueRows:
        """The labelled rows of a video: one for each scored moment."""

    def nearest(self, video: str, seconds: Floats) -> npt.NDArray[Any]:
        """What the labelled row of a video that is nearest to each of some times says; of two as near the earlier one.

        Args:
            video: The id of the video, which has labelled rows.
            seconds: (n,).

        Returns:
            (n, ...), as `LabelValues.stack` gives it.
        """

    def at(self, video: str, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames of a video.

        Args:
            video: The id of the video.
            seconds: (n,), the times of the frames.
            frame_seconds: The time from one frame to the next.
        """


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows in order of time, of which neighbours that say the same are kept as one.

    Attributes:
        moments: The n seconds.
        starts: (R,), the first row of each run of rows that say the same.
        labelled: (R,) bool, whether these rows have a label.
        truth: (R, ...), what they say.
    """

    moments: Moments
    starts: Int64
    labelled: npt.NDArray[np.bool_]
    truth: npt.NDArray[Any]

    @staticmethod
    def of(seconds: Floats, labelled: npt.NDArray[np.bool_], truth: npt.NDArray[Any]) -> "_Rows":
        """Find the runs of n rows."""
        # What an unlabelled row says is no matter, and NaN differs from itself.
        said = truth.copy()
        said[~labelled] = 0
        starts = np.union1d(change_places(labelled), change_places(said))
        return _Rows(Moments(seconds), starts, labelled[starts], truth[starts])

    def run_of(self, rows: Int64) -> Int64:
        """The run of each row; -1 of row -1."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def nearest(self, seconds: Floats) -> Int64:
        """The row that is nearest to each of some times, the earlier of two as near; there must be one."""
        last = len(self.moments) - 1
        after = self.moments.search(seconds, "left").clip(max=last)
        before = (after - 1).clip(min=0)
        to_before = np.abs(self.moments.at(before) - seconds)
        to_after = np.abs(self.moments.at(after) - seconds)
        return np.where(to_before <= to_after, before, after)


def change_places(rows: npt.NDArray[Any]) -> Int64:
    """The places of rows that are not as the one before them, and of the first, where there is one.

    Args:
        rows: (n, ...).
    """
    differs = (rows[1:] != rows[:-1]).any(axis=tuple(range(1, rows.ndim)))
    return np.concatenate([np.arange(min(len(rows), 1)), np.flatnonzero(differs) + 1])


class Timeline:
    """A video's rows, labelled or not, in memory that grows with the changes in them.

    Args:
        seconds: Increasing.
        values: What each row says; None where it says that there is no label.
        space: What labels there may be.
    """

    def __init__(
        self, seconds: Sequence[float], values: Sequence[Value | None], space: LabelValues
    ) -> None:
        times = np.array(seconds, np.float64)
        labelled = np.array([value is not None for value in values], bool)
        truth = space.stack(values)
        self._nothing = space.stack([None])

        self._all = _Rows.of(times, labelled, truth)
        self._labelled = self._all
        if not labelled.all():
            self._labelled = _Rows.of(times[labelled], labelled[labelled], truth[labelled])

    def rows(self) -> TrueRows:
        """The labelled rows."""
        rows = self._labelled
        runs = rows.run_of(np.arange(len(rows.moments)))
        return TrueRows(rows.moments.all(), rows.truth[runs])

    def nearest_row(self, seconds: Floats) -> npt.NDArray[Any]:
        """What the labelled row nearest to each of some times says, of two as near the earlier one.

        Raises:
            IndexError: No row has a label.
        """
        rows = self._labelled
        return rows.truth[rows.run_of(rows.nearest(seconds))]

    def holding(self, seconds: Floats) -> FrameTruth:
        """The labels that hold at some times, each until the next row."""
        rows = self._all.moments.search(seconds, "right") - 1
        return self._take(rows, rows >= 0)

    def nearest(self, seconds: Floats, frame_seconds: float) -> FrameTruth:
        """The labels of frames at some times: that of the row nearest to a frame, if no other frame is nearer to it.

        A row halfway between two frames is the later one's; of two rows equally near a frame has the earlier one's.
        """
        if not len(self._all.moments):
            return self.holding(seconds)

        rows = self._all.nearest(seconds)
        distance = self._all.moments.at(rows) - seconds
        half = frame_seconds / 2
        return self._take(rows, (-half <= distance) & (distance < half))

    def _take(self, rows: Int64, found: npt.NDArray[np.bool_]) -> FrameTruth:
        """The labels of some rows, but none where a row was not `found`."""
        # One run more stands for "none", and is the last: number -1.
        labelled = np.append(self._all.labelled, False)
        truth = np.concatenate([self._all.truth, self._nothing])
        runs = np.where(found, self._all.run_of(rows), -1)
        return FrameTruth(labelled[runs], truth[runs])
