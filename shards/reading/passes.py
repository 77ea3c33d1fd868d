"""Finite passes for evaluation: clips in the order of the corpus, each exactly once over all ranks.

Every rank takes one stretch of the clips, so chunks are read once. All ranks take equally many micro-batches; the last
one is filled up with clips that are marked as not valid.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, islice

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig, RankShare
from surgstream.shards.reading.chunks import Chunk
from surgstream.shards.reading.clips import ClipBytes, ClipShape
from surgstream.shards.reading.feed import ClipFeed, Reading
from surgstream.shards.reading.locations import ClipTable


@dataclass(frozen=True)
class Share:
    """A rank's part of a pass.

    Attributes:
        start: Its first clip.
        stop: One past its last clip.
        num_steps: Micro-batches that it takes, as every rank does.
    """

    start: int
    stop: int
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The clips of a pass.

    Attributes:
        num_clips: Take this many, evenly spread over the corpus; None takes all, and so do more than there are.
        datasets: Take these datasets alone; None takes all.
    """

    num_clips: int | None = None
    datasets: Sequence[str] | None = None


def share(num_clips: int, rank_share: RankShare) -> Share:
    """Deal a pass to the ranks: one stretch each, none longer than another by more than one clip.

    Args:
        num_clips: Clips of the pass, at least 1.
        rank_share: The rank, and how many clips all ranks take in a step.

    Returns:
        The share of the rank; it may be empty, and still takes its steps.
    """
    rank = rank_share.rank
    world_size = rank_share.world_size
    start = -(-num_clips * rank // world_size)
    stop = -(-num_clips * (rank + 1) // world_size)
    num_steps = -(-num_clips // (rank_share.micro_batch_size * world_size))
    return Share(start, stop, num_steps)


class ClipPass(ClipFeed):
    """This rank's micro-batches of one pass over a corpus.

    A clip's `draw` is its number in the corpus, so masks that are keyed by it are the same in every pass.

    Attributes:
        share: This rank's part of the pass.
    """

    def __init__(
        self,
        table: ClipTable,
        selection: Selection,
        *,
        shape: ClipShape,
        rank_share: RankShare,
        reading: Reading,
        chunk_frames: int,
    ) -> None:
        """Reading starts with the iteration.

        Args:
            table: The corpus.
            selection: Which of its clips to take.
            shape: Frames of a clip, at the rate of the table.
            rank_share: The rank, and how many clips it takes in a step: one micro-batch.
            reading: How to read.
            chunk_frames: The most clips that are read together.

        Raises:
            ConfigError: The corpus has no such dataset.
            ManifestError: The corpus has no clips.
        """
        sizes = _selected(table, selection.datasets)
        # The seed decides only which clips replace damaged ones.
        order = Order.create(sizes, 0, OrderConfig())
        super().__init__(table, order, shape=shape, reading=reading)

        # The number of each dataset's first clip, and last that of all clips.
        self._starts = list(accumulate((size.num_clips for size in sizes), initial=0))
        total = self._starts[-1]
        self._num_clips = min(selection.num_clips or total, total)
        self._micro_batch_size = rank_share.micro_batch_size
        self._chunk_frames = chunk_frames
        self._most_ahead = reading.read.threads
        self.share = share(self._num_clips, rank_share)

    def __iter__(self) -> Iterator[list[ClipBytes]]:
        clips = self._clips(self.share.start, self.share.stop)
        for _ in range(self.share.num_steps):
            batch = list(islice(clips, self._micro_batch_size))
            missing = self._micro_batch_size - len(batch)
            if missing:
                filler = batch[-1] if batch else self._last_clip()
                batch += [replace(filler, valid=False)] * missing
            yield batch

    def substitute(self, clip: ClipBytes, position: int, reason: str) -> ClipBytes:
        """As that of any feed; the substitute does not count."""
        return replace(super().substitute(clip, position, reason), valid=False)

    def _last_clip(self) -> ClipBytes:
        """The last clip of the share, or the one before an empty share: rank 0 has at least one."""
        return next(self._clips(self.share.stop - 1, self.share.stop))

    def _clips(self, start: int, stop: int) -> Iterator[ClipBytes]:
        """Clips [start, stop) of the pass, read ahead by as many chunks as there are threads."""
        ahead: deque[tuple[int, list[int], Future[Chunk]]] = deque()
        # The middle of each of as many equal stretches of the corpus as clips are taken.
        total = self._starts[-1]
        numbers = ((2 * i + 1) * total // (2 * self._num_clips) for i in range(start, stop))

        for (dataset, _), members in groupby(numbers, self._place):
            clips = [number - self._starts[dataset] for number in members]
            first = clips[0]
            chunk = self._read(dataset, first, clips[-1] - first + 1)
            ahead.append((dataset, clips, chunk))
            if len(ahead) > self._most_ahead:
                yield from self._cut(*ahead.popleft())

        while ahead:
            yield from self._cut(*ahead.popleft())

    def _place(self, number: int) -> tuple[int, int]:
        """The dataset of a clip, and its chunk there."""
        dataset = bisect_right(self._starts, number) - 1
        return dataset, (number - self._starts[dataset]) // self._chunk_frames

    def _cut(self, dataset: int, clips: Sequence[int], chunk: Future[Chunk]) -> Iterator[ClipBytes]:
        frames = self._wait_for(chunk)
        names = [self._names[dataset]] * len(clips)
        for where in self._table.locate_all(names, clips):
            g = self._starts[dataset] + where.clip
            found = self._cutter.clip(g, dataset, where, frames)
            yield replace(found, valid=found.planned is None)


def _selected(table: ClipTable, datasets: Sequence[str] | None) -> list[DatasetSize]:
    """The datasets of a corpus that a pass takes, sorted by name."""
    sizes = {size.name: size for size in table.sizes()}
    for name in datasets or ():
        if name not in sizes:
            raise ConfigError(
                f"{table.storage.uri}: expected a dataset out of {', '.join(sizes)}, got {name}"
            )
    return [size for name, size in sizes.items() if datasets is None or name in datasets]
