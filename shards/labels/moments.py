"""Moments: growing seconds of a video, in memory that grows with the breaks between them."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.shards.reading.subsets.runs import Runs

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_TICKS = (1, 10, 100, 1000, 10**6)
"""Ticks a second that are tried, one after the other."""

_MOST_TICKS = 2.0**52
"""Whole numbers up to this are exact as floats, and so are their neighbours."""


class Moments:
    """n seconds that grow strictly.

    Rows of labels are mostly a second, or a tenth of one, apart: seconds that are whole numbers of ticks are kept as
    runs of these. Others are kept one by one.

    Args:
        seconds: (n,).
    """

    def __init__(self, seconds: Floats) -> None:
        self._seconds = seconds
        self._runs: Runs | None = None
        for ticks in _TICKS:
            with np.errstate(over="ignore"):
                numbers = np.rint(seconds * ticks)
            # As floats again they must be the very same.
            if (np.abs(numbers) < _MOST_TICKS).all() and (numbers / ticks == seconds).all():
                self._ticks = ticks
                self._runs = Runs.of(numbers.astype(np.int64))
                self._seconds = np.empty(0)
                break

    def __len__(self) -> int:
        """Count the seconds, n."""
        return len(self._seconds if self._runs is None else self._runs)

    def at(self, places: Int64) -> Floats:
        """The seconds at some places in [0, n)."""
        if self._runs is None:
            return self._seconds[places]
        return self._runs.at(places) / self._ticks

    def all(self) -> Floats:
        """All seconds, (n,)."""
        return self.at(np.arange(len(self)))

    def search(self, seconds: Floats, side: Literal["left", "right"]) -> Int64:
        """How many seconds are less (`left`), or not more (`right`) than each of some; as `numpy.searchsorted`."""
        if self._runs is None:
            return np.searchsorted(self._seconds, seconds, side=side)

        # The most ticks that are no more: division may have been rounded either way.
        bounded = np.clip(seconds * self._ticks, -_MOST_TICKS, _MOST_TICKS)
        most = np.floor(bounded)
        most += (most + 1) / self._ticks <= seconds
        most -= most / self._ticks > seconds
        if side == "left":
            most -= most / self._ticks == seconds
        return self._runs.count_below(most.astype(np.int64) + 1)
