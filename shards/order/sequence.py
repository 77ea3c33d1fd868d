"""The order of clips: a pure function of the corpus, the seed, the weights and the lanes.

Draws are numbered from 0; a step of G clips consumes draws [d, d + G), where d is how many the run has consumed before.
The order does not know ranks, threads or caches: those decide only who reads a clip and when. So the state of a run is
one integer, it resumes at any draw at once and on any number of ranks, and together the ranks train on exactly the
planned sequence: nothing lost, nothing twice.

A draw is found in two steps. The mixture (`shards.order.mixture`) says which dataset it comes from and how many draws
that dataset had before; the lanes (`shards.order.lanes`) say which clip that is. `place` deals the draws of a step to
ranks. Everything is integer arithmetic over `shards.keyed_random`, so the same on every machine.

A change of weights or corpus at a resume does not touch the past: it appends a revision (`shards.order.revisions`).
Seed and revisions are part of a checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from surgstream.configs.loading import build, to_tree
from surgstream.shards.keyed_random import Purpose, hash64
from surgstream.shards.order.draws import Draws
from surgstream.shards.order.lanes import LaneGrid
from surgstream.shards.order.mixture import Mixture
from surgstream.shards.order.placement import Placement, RankShare, check_batch, place
from surgstream.shards.order.revisions import (
    DatasetSize,
    MicroBatches,
    OrderConfig,
    Revision,
    first_revision,
    next_revision,
)

__all__ = [
    "DatasetReport",
    "DatasetSize",
    "Draws",
    "MicroBatches",
    "Order",
    "OrderConfig",
    "Placement",
    "RankShare",
    "check_batch",
    "place",
]


@dataclass(frozen=True)
class DatasetReport:
    """A dataset's part in the order from its last revision on, for reports.

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
        revisions: Corpus, weights and lanes, and the draw from which on they hold.
    """

    seed: int
    revisions: tuple[Revision, ...]

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
        return Order(seed, (first_revision(0, sizes, config),))

    @staticmethod
    def from_json(tree: dict[str, Any]) -> "Order":
        """Read back what `to_json` gave.

        Raises:
            ConfigError: Something is missing or of the wrong type.
        """
        # Checkpoints have called revisions segments from the first one on.
        tree = {"revisions" if key == "segments" else key: value for key, value in tree.items()}
        return build(Order, tree, where="state of the order")

    def to_json(self) -> dict[str, Any]:
        """The whole order in plain dictionaries, lists and numbers, for a checkpoint.

        Without still images it is what earlier versions wrote, and read.
        """
        revisions = to_tree(self)["revisions"]
        for revision in revisions:
            if revision["stills_share"] is None:
                del revision["stills_share"]
            for dataset in revision["datasets"]:
                if not dataset["size"]["stills"]:
                    del dataset["size"]["stills"]
        return {"seed": self.seed, "segments": revisions}

    def differences(self, sizes: Sequence[DatasetSize], config: OrderConfig) -> dict[str, str]:
        """Compare corpus, weights and lanes with those of the last revision; see `Revision.differences`."""
        return self.revisions[-1].differences(sizes, config)

    def resumed(self, draw: int, sizes: Sequence[DatasetSize], config: OrderConfig) -> "Order":
        """The order to go on with after `draw` draws: this one, with another revision if anything differs.

        Args:
            draw: Draws consumed so far.
            sizes: The datasets of the corpus now.
            config: Weights and lanes now.

        Returns:
            An order whose draws before `draw` are the same as this one's.

        Raises:
            ManifestError: As `create`.
            ConfigError: As `create`.
            ValueError: The last revision starts after `draw`.
        """
        last = self.revisions[-1]
        if draw < last.start:
            raise ValueError(
                f"resumed: expected a draw of at least {last.start}, "
                f"where the last revision starts, got {draw}"
            )
        if not self.differences(sizes, config):
            return self

        drawn = list(self.drawn_before(draw).values())
        following = next_revision(last, drawn, draw, sizes, config)
        return Order(self.seed, (*self.revisions, following))

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """All datasets that were ever part of the order; `Draws.dataset` counts along them."""
        return tuple(plan.size.name for plan in self.revisions[-1].datasets)

    @property
    def num_clips(self) -> int:
        """Clips of all datasets that the last revision draws from."""
        plans = self.revisions[-1].datasets
        return sum(plan.size.num_clips for plan in plans if plan.count)

    @property
    def num_lanes(self) -> int:
        """Chunks open at a time; batches with more clips than this hold several clips of one chunk."""
        return sum(report.lanes for report in self.report())

    def report(self) -> tuple[DatasetReport, ...]:
        """The part in the last revision of each dataset that it draws from."""
        plans = self.revisions[-1].datasets
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

        # A revision ends where the next one starts; the last one is endless.
        stop = start + count
        ends = [*(revision.start for revision in self.revisions[1:]), stop]
        pieces = []
        for i, (revision, end) in enumerate(zip(self.revisions, ends, strict=True)):
            first = max(start, revision.start)
            last = min(stop, end)
            if first < last:
                pieces.append(self._segment_draws(i, first, last))
        return Draws.concatenate(pieces)

    def drawn_before(self, draw: int) -> dict[DatasetSize, int]:
        """The number of draws among [0, draw) of each dataset that was ever part of the order."""
        i = max(i for i, revision in enumerate(self.revisions) if revision.start <= draw)
        revision = self.revisions[i]
        mixture, _ = self._machinery[i]

        drawn_in_revision = mixture.drawn_before(draw - revision.start)
        drawn = drawn_in_revision + [plan.k_base for plan in revision.datasets]
        sizes = [plan.size for plan in revision.datasets]
        return dict(zip(sizes, drawn.tolist(), strict=True))

    def substitute(self, dataset: int, draw: int, attempt: int) -> int:
        """The clip to take in a draw when the planned one, and `attempt` substitutes before, cannot be used.

        Args:
            dataset: The planned clip's, counted as in `Draws.dataset`.
            draw: The draw.
            attempt: 0, 1, ...

        Returns:
            A clip of the same dataset, drawn with equal chances.
        """
        num_clips = self.revisions[-1].datasets[dataset].size.num_clips
        return int(hash64(self.seed, Purpose.SUBSTITUTE, draw, attempt)) % num_clips

    def _segment_draws(self, index: int, start: int, stop: int) -> Draws:
        revision = self.revisions[index]
        mixture, grid = self._machinery[index]
        dataset, k_in_revision = mixture.draws(start - revision.start, stop - revision.start)

        # The mixture counts from the revision's start, lanes from the dataset's first draw.
        k_base = np.array([plan.k_base for plan in revision.datasets], np.int64)
        k = k_in_revision + k_base[dataset]
        visits = grid.visit(dataset, k)
        return Draws(number=np.arange(start, stop), dataset=dataset, k=k, **vars(visits))

    @cached_property
    def _machinery(self) -> list[tuple[Mixture, LaneGrid]]:
        """The mixture and the lanes of each revision."""
        machinery = []
        for revision in self.revisions:
            plans = revision.datasets
            grid = LaneGrid.lay_out(
                seed=self.seed,
                names=[plan.size.name for plan in plans],
                num_clips=[plan.size.num_clips for plan in plans],
                max_lanes=[plan.lanes for plan in plans],
                chunk_frames=revision.chunk_frames,
            )

            counts = np.array([plan.count for plan in plans], np.int64)
            mixture = Mixture(seed=self.seed, keys=grid.keys, counts=counts)
            machinery.append((mixture, grid))
        return machinery
