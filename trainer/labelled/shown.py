"""The frames that a corpus shows of a video, by place and by time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.reading.locations import ShownPart
from surgstream.shards.reading.subsets.runs import Runs

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ShownFrames:
    """The n frames of a video that a table shows, in order of time; their places are 0 to n - 1.

    Attributes:
        numbers: Their numbers in the video, a run for each part that shows some.
        fps: Packed frames a second.
    """

    numbers: Runs
    fps: float

    @staticmethod
    def of(parts: Iterable[ShownPart]) -> "ShownFrames":
        """Put the parts of a video together, at least one."""
        shown = list(parts)
        return ShownFrames(Runs.of_ranges(part.frames for part in shown), shown[0].fps)

    def __len__(self) -> int:
        """Count the frames, n."""
        return len(self.numbers)

    def seconds(self, places: Int64) -> Floats:
        """When frames are shown."""
        return self.numbers.at(places) / self.fps

    def places(self, numbers: Int64) -> Int64:
        """The places of shown frames by their numbers in the video."""
        return self.numbers.count_below(numbers)

    def nearest(self, seconds: Floats) -> Int64:
        """The place of the frame that is nearest to each of some times, of two as near the earlier one.

        There must be a frame.
        """
        wanted = seconds * self.fps
        after = self.numbers.count_below(np.ceil(wanted).astype(np.int64)).clip(max=len(self) - 1)
        before = (after - 1).clip(min=0)
        to_before = np.abs(self.numbers.at(before) - wanted)
        to_after = np.abs(self.numbers.at(after) - wanted)
        return np.where(to_before <= to_after, before, after)

    def moved(self, places: Int64, num_frames: int) -> Int64:
        """The places that many shown frames later, or earlier if it is negative; within the part of each."""
        parts = self.numbers.run_of(places)
        first = self.numbers.starts[parts]
        last = self.numbers.starts[parts + 1] - 1
        return (places + num_frames).clip(first, last)
