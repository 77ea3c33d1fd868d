"""Runs: whole numbers kept as stretches of equal steps, in memory that grows with the breaks between them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

_BLOCK = 2**16
"""The most numbers of a block."""


@dataclass(frozen=True, eq=False)
class Runs:
    """n whole numbers in an order, as R runs of numbers that are equally far from each other.

    Attributes:
        firsts: (R,), the first number of each run.
        steps: (R,), from one number of a run to the next, at least 1.
        starts: (R + 1,), how many numbers come before each run, and n; it grows strictly.
    """

    firsts: Int64
    steps: Int64
    starts: Int64

    @staticmethod
    def of_ranges(ranges: Iterable[range]) -> "Runs":
        """The numbers of some ranges with steps of at least 1, one after the other."""
        shown = [each for each in ranges if each]
        counts = np.array([len(each) for each in shown], np.int64)
        return Runs(
            firsts=np.array([each.start for each in shown], np.int64),
            steps=np.array([each.step for each in shown], np.int64),
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    @staticmethod
    def of(numbers: Int64) -> "Runs":
        """Find the runs of numbers.

        Args:
            numbers: (n,), strictly growing.
        """
        return Runs.of_ranges(_ranges(numbers))

    def __len__(self) -> int:
        """Count the numbers, n."""
        return int(self.starts[-1])

    @property
    def counts(self) -> Int64:
        """(R,), the numbers of each run."""
        return np.diff(self.starts)

    def run_of(self, places: Int64) -> Int64:
        """The run of each number, by its place in [0, n)."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def at(self, places: Int64) -> Int64:
        """The numbers at some places in [0, n)."""
        runs = self.run_of(places)
        return self.firsts[runs] + (places - self.starts[runs]) * self.steps[runs]

    def all(self) -> Int64:
        """All numbers, (n,)."""
        return self.at(np.arange(len(self)))

    def blocks(self) -> Iterator[Int64]:
        """All numbers, some at a time."""
        for start in range(0, len(self), _BLOCK):
            yield self.at(np.arange(start, min(start + _BLOCK, len(self))))

    def ranges(self) -> Iterator[range]:
        """The runs as ranges."""
        columns = (self.firsts, self.counts, self.steps)
        for first, count, step in zip(*(column.tolist() for column in columns), strict=True):
            yield range(first, first + count * step, step)

    def count_below(self, bounds: Int64) -> Int64:
        """How many numbers are below each bound; the numbers must grow from run to run as well."""
        # The last run that begins below the bound; -1 where none does.
        runs = np.searchsorted(self.firsts, bounds, side="left") - 1
        found = runs.clip(min=0)
        if not len(self):
            return np.zeros_like(found)

        into_run = -((self.firsts[found] - bounds) // self.steps[found])
        below = self.starts[found] + into_run.clip(0, self.counts[found])
        return np.where(runs >= 0, below, 0)


def _ranges(numbers: Int64) -> Iterator[range]:
    """Runs that are as long as they can be, from the first number on."""
    steps = np.diff(numbers)
    # Where a step is another than the one before it.
    changes = np.flatnonzero(np.diff(steps)) + 1
    following = np.searchsorted(changes, np.arange(len(steps)), side="right") if len(steps) else []

    start = 0
    while start < len(numbers):
        if start == len(numbers) - 1:
            yield range(int(numbers[start]), int(numbers[start]) + 1)
            return
        change = following[start]
        last = int(changes[change]) if change < len(changes) else len(steps)
        step = int(steps[start])
        yield range(int(numbers[start]), int(numbers[last]) + 1, step)
        start = last + 1
