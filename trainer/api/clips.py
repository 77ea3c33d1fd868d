"""Clips of a corpus as an iterable dataset of torch, in the exact order of a training."""

import atexit
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast, get_args

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.configs.ranges import Range
from surgstream.shards.order.sequence import Order, check_batch
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.data.config import AugmentConfig, DataConfig, View
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import RankInfo

Batch = dict[str, Any]
"""See `Clips`."""


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """See `Corpus.clips`."""

    num_frames: Annotated[int, Range(1, 4096)]
    image_size: Annotated[int, Range(1, 2**14)]
    batch_size: Annotated[int, Range(1, 2**16)]
    seed: Annotated[int, Range(0, 2**62)]
    rank: Annotated[int, Range(0, 2**20)]
    world_size: Annotated[int, Range(1, 2**20)]


class Clips(IterableDataset[Batch]):
    """Batches of clips without end; see `Corpus.clips`.

    A batch has `clips`, (B, 3, T, H, W) float32, normalised by ImageNet's means and deviations; `names`, B texts
    `DATASET/VIDEO@FRAME`, where the frame is the last one of the clip; `draws`, (B,) int64, the numbers of the draws;
    `stills`, (B,) bool, which clips are still images, whose T frames are one picture.

    It is a dataset for any loop: `DataLoader(clips, batch_size=None)`, Lightning's and Accelerate's loops, and
    `StatefulDataLoader` of torchdata, whose state it keeps. It reads and decodes ahead on threads of its own, so that
    loaders have no workers. Another iteration goes on where the last one ended; `load_state_dict` goes anywhere.

    Attributes:
        clips_seen: Draws of all ranks that iterations have passed.
    """

    def __init__(
        self,
        table: FrameTable,
        data: Mapping[str, Any],
        *,
        num_frames: int,
        image_size: int,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        super().__init__()
        numbers = {
            "num_frames": num_frames,
            "image_size": image_size,
            "batch_size": batch_size,
            "seed": seed,
            "rank": rank,
            "world_size": world_size,
        }
        build(_Numbers, numbers, where="clips")

        augment = data.get("augment")
        view = cast(View, augment) if augment in get_args(View) else None
        settings = {key: value for key, value in data.items() if not (view and key == "augment")}
        config = build(DataConfig, settings, where="clips")
        if not 0 <= rank < world_size:
            raise ConfigError(f"clips: expected a rank below {world_size}, got {rank}")

        self._global_batch_size = batch_size * world_size
        check_batch(self._global_batch_size, batch_size, world_size)
        self._table = table
        self._order = Order.create(table.sizes(), seed, config.order)
        rank_info = RankInfo(rank=rank, local_rank=rank, world_size=world_size)
        shown: AugmentConfig | View = view or config.augment
        self._source = ClipSource(
            config,
            table,
            seed=seed,
            num_frames=num_frames,
            image_size=image_size,
            micro_batch_size=batch_size,
            rank_info=rank_info,
            augment=shown,
        )
        self.clips_seen = 0
        self._opened: ClipLoader | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Go on with the first batch that no iteration has given yet; an earlier iteration ends.

        Raises:
            ConfigError: A loader wants to do it in workers.
            ShardError: The corpus cannot be read, or too many clips are damaged.
        """
        if get_worker_info() is not None:
            raise ConfigError(
                "clips: expected a loader with num_workers=0, as clips are read and decoded on threads already"
            )
        self.close()
        opened = self._opened = self._source.open(
            self._order, global_batch_size=self._global_batch_size, start=self.clips_seen
        )
        # A program may end in mid iteration, and DALI ends before its threads do
        atexit.register(opened.close)
        try:
            while self._opened is opened:
                batch = next(opened)
                # Counted before it is handed out: whoever saves afterwards has seen it
                self.clips_seen += self._global_batch_size
                yield {
                    "clips": _own(batch.clips),
                    "names": [str(name) for name in batch.names],
                    "draws": torch.from_numpy(batch.draws.copy()),
                    "stills": torch.from_numpy(batch.stills.copy()),
                }
        finally:
            atexit.unregister(opened.close)
            opened.close()

    def close(self) -> None:
        """End the iteration that is open, and its threads."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def state_dict(self) -> dict[str, Any]:
        """Where it is: the order, the corpus, and how many clips of it were seen."""
        return {
            "clips_seen": self.clips_seen,
            "order": self._order.to_json(),
            "corpus": self._table.sha256,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another one was, maybe with more or fewer ranks.

        Raises:
            ConfigError: It was over another corpus.
        """
        if state["corpus"] != self._table.sha256:
            raise ConfigError(
                "clips: expected the state of clips of this corpus, got another's; open that one"
            )
        self._order = Order.from_json(state["order"])
        self.clips_seen = int(state["clips_seen"])


def _own(clips: Tensor) -> Tensor:
    """Clips in memory that the loader does not write to again."""
    return clips.clone(memory_format=torch.contiguous_format)
