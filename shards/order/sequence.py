"""The order of clips: a pure function of the corpus, the seed, the weights and the lanes.

`g` counts the draws that optimizer steps have consumed; a step of G clips consumes draws [g, g + G). The order does not
know ranks, threads or caches: those decide only who reads a clip and when. So the state of a run is one integer, it
resumes at any g at once and on any number of ranks, and together the ranks train on exactly the planned sequence:
nothing lost, nothing twice.

A draw is found in two steps. The mixture (`shards.order.mixture`) says which dataset it comes from and how many draws
that dataset had before; the lanes (`shards.order.lanes`) say which clip that is. `place` deals the draws of a step to
ranks. Everything is integer arithmetic over `shards.keyed_random`, so the same on every machine.

A change of weights or corpus at a resume does not touch the past: it appends a segment (`shards.order.revisions`). Seed
and segments are part of a checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from surgstream.configs.loading import build, to_tree
from surgstream.shards.keyed_random import Purpose, hash64
from surgstream.shards.order.draws import Draws
from surgstream.shards.order.lanes import Grid
from surgstream.shards.order.mixture import Mixture
from surgstream.shards.order.placement import Placement, RankShare, check_batch, place
from surgstream.shards.order.revisions import (
    DatasetSize,
    Deal,
    OrderConfig,
    Segment,
    first_segment,
    next_segment,
)

__all__ = [
    "DatasetReport",
    "DatasetSize",
    "Deal",
    "Draws",
    "Order",
    "OrderConfig",
    "Placement",
    "RankShare",
    "check_batch",
    "place",
]


@dataclass(frozen=True)
class DatasetReport:
    """A dataset's part in the order from its last segment on, for reports.

    Attributes:
        name: The dataset.
        specialty: Its specialty.
        num_clips: Its clips.
        asked: The share of draws that the weights ask for.
        share: The share it gets; other than `asked` only where weights had to be rounded.
        repeats: How often each of its clips is drawn in an epoch of the corpus. Equal shares repeat small datasets many
            times.
        lanes: Its chunks that are open at a time.
        chunk_clips: Clips in a chunk.
    """

    name: str
    specialty: str
    num_clips: int
    asked: float
    share: float
    repeats: float
    lanes: int
    chunk_clips: int


@dataclass(frozen=True)
class Order:
    """The endless sequence of draws.

    Attributes:
        seed: Every random choice depends on it.
        segments: Corpus, weights and lanes, and the draw from which on they hold.
    """

    seed: int
    segments: tuple[Segment, ...]

    @staticmethod
    def create(sizes: Sequence[DatasetSize], seed: int, config: OrderConfig) -> "Order":
        """The order of a new run.

        Args:
            sizes: The datasets of the corpus.
            seed: The seed.
            config: Weights and lanes.

        Returns:
            The order.

        Raises:
            ManifestError: The corpus has no datasets, or one without clips or with too many.
            ConfigError: The weights do not fit the datasets.
        """
        return Order(seed, (first_segment(0, sizes, config),))

    @staticmethod
    def from_json(tree: dict[str, Any]) -> "Order":
        """Read back what `to_json` gave.

        Raises:
            ConfigError: Something is missing or of the wrong type.
        """
        return build(Order, tree, where="state of the order")

    def to_json(self) -> dict[str, Any]:
        """The whole order in plain dictionaries, lists and numbers, for a checkpoint."""
        tree: dict[str, Any] = to_tree(self)
        return tree

    def differences(self, sizes: Sequence[DatasetSize], config: OrderConfig) -> dict[str, str]:
        """Compare corpus, weights and lanes with those of the last segment; see `Segment.differences`."""
        return self.segments[-1].differences(sizes, config)

    def resumed(self, g: int, sizes: Sequence[DatasetSize], config: OrderConfig) -> "Order":
        """The order to go on with after `g` draws: this one, with another segment if anything differs.

        Args:
            g: Draws consumed so far.
            sizes: The datasets of the corpus now.
            config: Weights and lanes now.

        Returns:
            An order whose draws before `g` are the same as this one's.

        Raises:
            ManifestError: As `create`.
            ConfigError: As `create`.
            ValueError: The last segment starts after `g`.
        """
        last = self.segments[-1]
        if g < last.start:
            raise ValueError(
                f"resumed: expected g of at least {last.start}, "
                f"where the last segment starts, got {g}"
            )
        if not self.differences(sizes, config):
            return self

        drawn = list(self.drawn_before(g).values())
        following = next_segment(last, drawn, g, sizes, config)
        return Order(self.seed, (*self.segments, following))

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """All datasets that were ever part of the order; `Draws.dataset` counts along them."""
        return tuple(plan.size.name for plan in self.segments[-1].datasets)

    @property
    def num_clips(self) -> int:
        """Clips of all datasets that the last segment draws from."""
        plans = self.segments[-1].datasets
        return sum(plan.size.num_clips for plan in plans if plan.count)

    @property
    def num_lanes(self) -> int:
        """Chunks open at a time; batches with more clips than this hold several clips of one chunk."""
        return sum(report.lanes for report in self.report())

    def report(self) -> tuple[DatasetReport, ...]:
        """The part in the last segment of each dataset that it draws from."""
        plans = self.segments[-1].datasets
        mixture, grid = self._machinery[-1]

        # i counts the datasets that are not drawn too, as the grid does.
        return tuple(
            DatasetReport(
                name=plan.size.name,
                specialty=plan.size.specialty,
                num_clips=plan.size.num_clips,
                asked=plan.asked,
                share=plan.count / mixture.period,
                repeats=plan.count * self.num_clips / (mixture.period * plan.size.num_clips),
                lanes=int(grid.lanes[i]),
                chunk_clips=int(grid.chunk_clips[i]),
            )
            for i, plan in enumerate(plans)
            if plan.count
        )

    def draws(self, start: int, count: int) -> Draws:
        """Draws [start, start + count), in the same time wherever they lie.

        Args:
            start: First draw.
            count: How many, at least 1.

        Returns:
            The draws in order.

        Raises:
            ValueError: `start` is negative or `count` below 1.
        """
        if start < 0 or count < 1:
            raise ValueError(f"draws: expected start >= 0 and count >= 1, got {start} and {count}")

        # A segment ends where the next one starts; the last one is endless.
        stop = start + count
        ends = [*(segment.start for segment in self.segments[1:]), stop]
        pieces = []
        for i, (segment, end) in enumerate(zip(self.segments, ends, strict=True)):
            first = max(start, segment.start)
            last = min(stop, end)
            if first < last:
                pieces.append(self._segment_draws(i, first, last))
        return Draws.concatenate(pieces)

    def drawn_before(self, g: int) -> dict[DatasetSize, int]:
        """The number of draws among [0, g) of each dataset that was ever part of the order."""
        i = max(i for i, segment in enumerate(self.segments) if segment.start <= g)
        segment = self.segments[i]
        mixture, _ = self._machinery[i]

        drawn_in_segment = mixture.drawn_before(g - segment.start)
        drawn = drawn_in_segment + [plan.k_base for plan in segment.datasets]
        sizes = [plan.size for plan in segment.datasets]
        return dict(zip(sizes, drawn.tolist(), strict=True))

    def substitute(self, dataset: int, g: int, attempt: int) -> int:
        """The clip to take in draw g when the planned one, and `attempt` substitutes before, cannot be used.

        Args:
            dataset: The planned clip's, counted as in `Draws.dataset`.
            g: The draw.
            attempt: 0, 1, ...

        Returns:
            A clip of the same dataset, drawn with equal chances.
        """
        num_clips = self.segments[-1].datasets[dataset].size.num_clips
        return int(hash64(self.seed, Purpose.SUBSTITUTE, g, attempt)) % num_clips

    def _segment_draws(self, index: int, start: int, stop: int) -> Draws:
        segment = self.segments[index]
        mixture, grid = self._machinery[index]
        dataset, k_in_segment = mixture.draws(start - segment.start, stop - segment.start)

        # The mixture counts from the segment's start, lanes from the dataset's first draw.
        k_base = np.array([plan.k_base for plan in segment.datasets], np.int64)
        k = k_in_segment + k_base[dataset]
        visits = grid.visit(dataset, k)
        return Draws(g=np.arange(start, stop), dataset=dataset, k=k, **vars(visits))

    @cached_property
    def _machinery(self) -> list[tuple[Mixture, Grid]]:
        """The mixture and the lanes of each segment."""
        machinery = []
        for segment in self.segments:
            plans = segment.datasets
            grid = Grid.lay_out(
                seed=self.seed,
                names=[plan.size.name for plan in plans],
                num_clips=[plan.size.num_clips for plan in plans],
                max_lanes=[plan.lanes for plan in plans],
                chunk_frames=segment.chunk_frames,
            )

            counts = np.array([plan.count for plan in plans], np.int64)
            mixture = Mixture(seed=self.seed, keys=grid.keys, counts=counts)
            machinery.append((mixture, grid))
        return machinery
