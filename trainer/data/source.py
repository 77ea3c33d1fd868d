"""A packed corpus in a given order, as batches on this rank's device."""

from collections.abc import Sequence

from surgstream.shards.order.sequence import Order, RankShare
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.clips import ClipShape
from surgstream.shards.reading.feed import ClipFeed, Reading
from surgstream.shards.reading.locations import ClipTable
from surgstream.shards.reading.passes import ClipPass, Selection
from surgstream.shards.reading.stream import ClipStream
from surgstream.trainer.data.config import AugmentConfig, DataConfig, View
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.data.loader import ClipLoader, Truth
from surgstream.trainer.distributed import RankInfo


class ByteSource:
    """Opens streams of clips as bytes over one corpus."""

    def __init__(
        self,
        data: DataConfig,
        corpus: ClipTable,
        *,
        num_frames: int,
        micro_batch_size: int,
        rank_info: RankInfo,
    ) -> None:
        """Open the cache.

        Args:
            data: The recipe's data section.
            corpus: The packed frames.
            num_frames: Frames a clip, T.
            micro_batch_size: Clips a batch.
            rank_info: This rank's place.

        Raises:
            ConfigError: The cache's folder is not this user's alone to write to, or cannot be made.
        """
        self._data = data
        self._corpus = corpus
        self._rank_info = rank_info
        self._micro_batch_size = micro_batch_size
        self._shape = ClipShape(num_frames=num_frames, stride=data.stride)

        folder = data.cache_folder
        cache = ChunkCache(folder, data.cache_bytes, corpus.sha256) if folder else None
        self._reading = Reading(read=data.read, limits=data.limits, cache=cache)

    def stream(self, order: Order, *, global_batch_size: int, start: int) -> ClipStream:
        """Stream this rank's share of the draws of an order, from `start` on without end."""
        rank_share = RankShare(
            rank=self._rank_info.rank,
            world_size=self._rank_info.world_size,
            micro_batch_size=self._micro_batch_size,
            global_batch_size=global_batch_size,
            micro_batches=self._data.order.micro_batches,
        )
        return ClipStream(
            self._corpus,
            order,
            shape=self._shape,
            rank_share=rank_share,
            reading=self._reading,
            start=start,
            stop=None,  # the trainer ends by its plan
        )


class ClipSource(ByteSource):
    """Opens loaders over one corpus; one loader at a time."""

    def __init__(
        self,
        data: DataConfig,
        corpus: ClipTable,
        *,
        seed: int,
        num_frames: int,
        image_size: int,
        micro_batch_size: int,
        rank_info: RankInfo,
        augment: AugmentConfig | View,
        truth: Truth | None = None,
    ) -> None:
        """Build the decoder and open the cache.

        Args:
            data: The recipe's data section.
            corpus: The packed frames.
            seed: The run's seed.
            num_frames: Frames a clip, T.
            image_size: Height and width of the model's input in pixels.
            micro_batch_size: Clips a batch.
            rank_info: This rank's place.
            augment: The recipe's augmentation; or a view, of clips that are judged.
            truth: Says what is true of clips, by their names; None where nothing is asked.

        Raises:
            ConfigError: The cache's folder is not this user's alone to write to, or cannot be made.
        """
        super().__init__(
            data,
            corpus,
            num_frames=num_frames,
            micro_batch_size=micro_batch_size,
            rank_info=rank_info,
        )
        self._seed = seed
        self._augment = augment
        self._truth = truth

        self._decoder = ClipDecoder(
            data.decode,
            max_clips=micro_batch_size,
            num_frames=num_frames,
            image_size=image_size,
            device=rank_info.device,
            gpu_decodes=rank_info.gpu_decodes,
        )

    def open(self, order: Order, *, global_batch_size: int, start: int) -> ClipLoader:
        """Start loading this rank's share of the draws of an order, from `start` on without end."""
        clips = self.stream(order, global_batch_size=global_batch_size, start=start)
        return self._load(clips, self._augment)

    def open_pass(
        self,
        num_clips: int | None = None,
        *,
        datasets: Sequence[str] | None = None,
        shared: bool = True,
        view: View | None = None,
        clips_of: ClipTable | None = None,
    ) -> ClipLoader:
        """Start loading clips in the order of the corpus, each once; see `shards.reading.passes`.

        Args:
            num_clips: The number of clips, evenly spread; None takes all.
            datasets: Names of the datasets to take; None takes all.
            shared: Whether the ranks share the clips, or each takes all of them.
            view: Another view than that of the source.
            clips_of: Other clips of the same corpus than those of the source, such as a subset.
        """
        # Not shared, each rank reads as if it were alone.
        world_size = self._rank_info.world_size if shared else 1
        rank_share = RankShare(
            rank=self._rank_info.rank if shared else 0,
            world_size=world_size,
            micro_batch_size=self._micro_batch_size,
            global_batch_size=self._micro_batch_size * world_size,
        )
        clips = ClipPass(
            clips_of or self._corpus,
            Selection(num_clips=num_clips, datasets=datasets),
            shape=self._shape,
            rank_share=rank_share,
            reading=self._reading,
            chunk_frames=self._data.order.chunk_frames,
        )
        return self._load(clips, view or self._augment)

    def _load(self, clips: ClipFeed, augment: AugmentConfig | View) -> ClipLoader:
        return ClipLoader(
            clips,
            self._decoder,
            augment=augment,
            seed=self._seed,
            device=self._rank_info.device,
            truth=self._truth,
            stall_warning_seconds=self._data.stall_warning_seconds,
        )
