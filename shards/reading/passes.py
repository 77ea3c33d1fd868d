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
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.chunks import Chunk
from surgstream.shards.reading.clips import BadClipLimits, ClipBytes
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipFeed


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


def share(num_clips: int, *, micro_batch_size: int, rank: int, world_size: int) -> Share:
    """Deal a pass to the ranks: one stretch each, none longer than another by more than one clip.

    Args:
        num_clips: Clips of the pass, at least 1.
        micro_batch_size: Clips of a micro-batch.
        rank: The rank.
        world_size: All ranks.

    Returns:
        The share of the rank; it may be empty, and still takes its steps.
    """
    start, stop = (-(-num_clips * number // world_size) for number in (rank, rank + 1))
    return Share(start, stop, -(-num_clips // (micro_batch_size * world_size)))


class ClipPass(ClipFeed):
    """This rank's micro-batches of one pass over a corpus.

    A clip's `g` is its number in the corpus, so masks that are keyed by it are the same in every pass.

    Attributes:
        share: This rank's part of the pass.
    """

    def __init__(
        self,
        table: FrameTable,
        *,
        num_frames: int,
        stride: int,
        micro_batch_size: int,
        rank: int,
        world_size: int,
        chunk_frames: int,
        read: ReadConfig,
        limits: BadClipLimits = BadClipLimits(),  # noqa: B008 - frozen
        cache: ChunkCache | None = None,
        num_clips: int | None = None,
        datasets: Sequence[str] | None = None,
    ) -> None:
        """Reading starts with the iteration.

        Args:
            table: The corpus.
            num_frames: Frames of a clip, T.
            stride: Frames from one frame of a clip to the next, at the rate of the table.
            micro_batch_size: Clips of a micro-batch.
            rank: This rank.
            world_size: All ranks.
            chunk_frames: The most clips that are read together.
            read: How to read.
            limits: How many clips may be damaged.
            cache: Where to keep chunks on this node; it must be this corpus's.
            num_clips: Take so many clips, evenly spread over the corpus; None takes all, and so do more than there are.
            datasets: Take these datasets alone.

        Raises:
            ConfigError: The corpus has no such dataset.
            ManifestError: The corpus has no clips.
        """
        names = [size.name for size in table.sizes()]
        for name in datasets or ():
            if name not in names:
                raise ConfigError(
                    f"{table.storage.uri}: expected a dataset out of {', '.join(names)}, got {name}"
                )
        sizes = [size for size in table.sizes() if datasets is None or size.name in datasets]
        # The seed decides no more than what fills the place of a damaged clip.
        order = Order.create(sizes, 0, OrderConfig())
        super().__init__(
            table,
            order,
            num_frames=num_frames,
            stride=stride,
            read=read,
            limits=limits,
            cache=cache,
        )

        # The number of each dataset's first clip, and last that of all clips
        self._starts = list(accumulate((size.num_clips for size in sizes), initial=0))
        self._num_clips = min(num_clips or self._starts[-1], self._starts[-1])
        self._micro_batch_size, self._chunk_frames, self._most_ahead = (
            micro_batch_size,
            chunk_frames,
            read.threads,
        )
        self.share = share(
            self._num_clips, micro_batch_size=micro_batch_size, rank=rank, world_size=world_size
        )

    def __iter__(self) -> Iterator[list[ClipBytes]]:
        clips = self._clips(self.share.start, self.share.stop)
        for _ in range(self.share.num_steps):
            batch = list(islice(clips, self._micro_batch_size))
            if missing := self._micro_batch_size - len(batch):
                # The share's last clip, or the one before an empty share: rank 0 has at least one.
                filler = (
                    batch[-1] if batch else next(self._clips(self.share.stop - 1, self.share.stop))
                )
                batch += [replace(filler, valid=False)] * missing
            yield batch

    def _clips(self, start: int, stop: int) -> Iterator[ClipBytes]:
        """Clips [start, stop) of the pass, read ahead by as many chunks as there are threads."""
        ahead: deque[tuple[int, list[int], Future[Chunk]]] = deque()
        # The middle of each of as many equal stretches of the corpus as clips are taken
        numbers = (
            (2 * i + 1) * self._starts[-1] // (2 * self._num_clips) for i in range(start, stop)
        )
        for (dataset, _), members in groupby(numbers, self._place):
            clips = [number - self._starts[dataset] for number in members]
            ahead.append((dataset, clips, self._read(dataset, clips[0], clips[-1] - clips[0] + 1)))
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
        for where in self._table.locate_all([self._names[dataset]] * len(clips), clips):
            found = self._cutter.clip(self._starts[dataset] + where.clip, dataset, where, frames)
            yield replace(found, valid=found.planned is None)
