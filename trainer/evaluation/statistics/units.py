"""What is independent of each other: videos, or the patients or surgeons above them; and the keyed draws of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import Int64, Purpose, hash64, hash_text
from surgstream.trainer.evaluation.metrics.statistic import Weights

DRAWS_AT_ONCE = 256
"""A confusion matrix of 100 classes is 80 KB in each draw."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Units:
    """The G units of V test videos.

    Attributes:
        names: (G,), what the units are called, sorted.
        of_video: (V,), the number of each video's unit, in the order that the statistics have the videos in.
        noun: What a unit is: `video`, or `group` where one has several videos.
        key: What draws are made of. All models of a task have the same draws.
    """

    names: tuple[str, ...]
    of_video: Int64
    noun: str
    key: int

    @property
    def count(self) -> int:
        """How many there are, G."""
        return len(self.names)

    @property
    def num_videos(self) -> int:
        """V."""
        return len(self.of_video)

    def times(self, drawn: Int64) -> Weights:
        """How often videos count.

        Args:
            drawn: (D, n), numbers of the units in each draw.

        Returns:
            (D, V); all videos of a unit as often as the unit.
        """
        of_unit = times(drawn, self.count)
        return of_unit[:, self.of_video]

    def draws(self, num_draws: int) -> Iterator[Weights]:
        """Draw G of the G units with replacement, again and again.

        Yields:
            Weights (D, V) of a block of draws. A draw depends on the key, its number and the units' sorted names.
        """
        for block in blocks(num_draws):
            hashes = hash64(self.key, block[:, None], np.arange(self.count))
            drawn = hashes % np.uint64(self.count)
            yield self.times(drawn.astype(np.int64))

    def without_one(self) -> Weights:
        """The weights (G, V) of the jackknife: each unit left out once."""
        is_out = np.arange(self.count)[:, None] == self.of_video
        return np.where(is_out, 0.0, 1.0)

    def counted(self, count: int) -> str:
        """A number of units in words, such as `one video`."""
        return f"one {self.noun}" if count == 1 else f"{count:,} {self.noun}s"


def units_of(groups: Mapping[str, str], task: str, version: int) -> Units:
    """Make units of videos.

    Args:
        groups: The group of each video by the video's id, in the order that the statistics have the videos in; its own
            id where nothing is above it.
        task: The task's name.
        version: The task's version.
    """
    names = tuple(sorted(set(groups.values())))
    number = {name: unit for unit, name in enumerate(names)}
    videos = hash_text("\n".join(sorted(groups)))

    return Units(
        names=names,
        of_video=np.array([number[group] for group in groups.values()], np.int64),
        noun="video" if len(names) == len(groups) else "group",
        key=hash64(Purpose.BOOTSTRAP, hash_text(task), version, videos).item(),
    )


def times(drawn: Int64, count: int) -> Weights:
    """How often each of [0, count) is in each row: from (D, n) to (D, count)."""
    num_rows = len(drawn)
    cells = np.arange(num_rows)[:, None] * count + drawn
    found = np.bincount(cells.ravel(), minlength=num_rows * count)
    return found.reshape(num_rows, count).astype(np.float64)


def blocks(num_draws: int) -> Iterator[Int64]:
    """The numbers of draws, so many at a time that memory stays small."""
    for first in range(0, num_draws, DRAWS_AT_ONCE):
        yield np.arange(first, min(first + DRAWS_AT_ONCE, num_draws))
