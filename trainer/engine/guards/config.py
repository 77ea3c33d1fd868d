"""The settings of what watches a run."""

from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class SpikeGuardConfig:
    """The guard against losses that leap; see `trainer.engine.guards.spikes`.

    Attributes:
        deviations: A step is left out where its loss is above the mean of the last ones by more than this many of their
            standard deviations, c. The published code has the guard and no recipe that uses it: the default is ours.
        window: The last losses that were followed; none is judged before half of them are there.
        most_in_a_row: The most steps that are left out one after another; the run ends at the next.
    """

    deviations: Annotated[float, Range(0.1, 1e3)] = 5.0
    window: Annotated[int, Range(2, 10**5)] = 300
    most_in_a_row: Annotated[int, Range(0, 10**6)] = 10
