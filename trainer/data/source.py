"""A packed corpus in a given order, as batches on this rank's device."""

from collections.abc import Sequence

from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.passes import ClipPass
from surgstream.shards.reading.stream import ClipFeed, ClipStream
from surgstream.trainer.data.config import CropConfig, DataConfig
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.distributed import Topology


class ByteSource:
    """Opens streams of clips as bytes over one corpus."""

    def __init__(
        self,
        data: DataConfig,
        corpus: FrameTable,
        *,
        num_frames: int,
        micro_batch_size: int,
        topology: Topology,
    ) -> None:
        """Open the cache.

        Args:
            data: The recipe's data section.
            corpus: The packed frames.
            num_frames: Frames a clip, T.
            micro_batch_size: Clips a batch.
            topology: This rank's place.

        Raises:
            ConfigError: The cache's folder is not this user's alone to write to, or cannot be made.
        """
        self._data = data
        self._corpus = corpus
        self._num_frames = num_frames
        self._micro_batch_size = micro_batch_size
        self._topology = topology

        self._cache: ChunkCache | None = None
        if data.cache_folder:
            self._cache = ChunkCache(data.cache_folder, data.cache_bytes, corpus.sha256)

    def stream(self, order: Order, *, global_batch_size: int, start: int) -> ClipStream:
        """Stream this rank's share of the draws of an order, from `start` on without end."""
        return ClipStream(
            self._corpus,
            order,
            num_frames=self._num_frames,
            stride=self._data.stride,
            global_batch_size=global_batch_size,
            micro_batch_size=self._micro_batch_size,
            rank=self._topology.rank,
            world_size=self._topology.world_size,
            start=start,
            stop=None,  # the trainer ends by its plan
            read=self._data.read,
            deal=self._data.order.deal,
            limits=self._data.limits,
            cache=self._cache,
        )


class ClipSource(ByteSource):
    """Opens loaders over one corpus; one loader at a time."""

    def __init__(
        self,
        data: DataConfig,
        corpus: FrameTable,
        *,
        seed: int,
        num_frames: int,
        image_size: int,
        micro_batch_size: int,
        topology: Topology,
        crop: CropConfig | None,
    ) -> None:
        """Build the decoder and open the cache.

        Args:
            data: The recipe's data section.
            corpus: The packed frames.
            seed: The run's seed.
            num_frames: Frames a clip, T.
            image_size: Height and width of the model's input in pixels.
            micro_batch_size: Clips a batch.
            topology: This rank's place.
            crop: The recipe's cropping; None takes centre squares, for evaluation.

        Raises:
            ConfigError: The cache's folder is not this user's alone to write to, or cannot be made.
        """
        super().__init__(
            data,
            corpus,
            num_frames=num_frames,
            micro_batch_size=micro_batch_size,
            topology=topology,
        )
        self._seed = seed
        self._crop = crop

        self._decoder = ClipDecoder(
            data.decode,
            max_clips=micro_batch_size,
            num_frames=num_frames,
            image_size=image_size,
            device=topology.device,
        )

    def open(self, order: Order, *, global_batch_size: int, start: int) -> ClipLoader:
        """Start loading this rank's share of the draws of an order, from `start` on without end."""
        return self._load(self.stream(order, global_batch_size=global_batch_size, start=start))

    def open_pass(
        self,
        num_clips: int | None = None,
        *,
        datasets: Sequence[str] | None = None,
        shared: bool = True,
    ) -> ClipLoader:
        """Start loading clips in the order of the corpus, each once; see `shards.reading.passes`.

        Args:
            num_clips: The number of clips, evenly spread; None takes all.
            datasets: Names of the datasets to take; None takes all.
            shared: Whether the ranks share the clips, or each takes all of them.
        """
        # Where the clips are not shared, each rank reads as if it were alone.
        readers = self._topology if shared else Topology()
        clips = ClipPass(
            self._corpus,
            num_frames=self._num_frames,
            stride=self._data.stride,
            micro_batch_size=self._micro_batch_size,
            rank=readers.rank,
            world_size=readers.world_size,
            chunk_frames=self._data.order.chunk_frames,
            read=self._data.read,
            limits=self._data.limits,
            cache=self._cache,
            num_clips=num_clips,
            datasets=datasets,
        )
        return self._load(clips)

    def _load(self, clips: ClipFeed) -> ClipLoader:
        return ClipLoader(
            clips,
            self._decoder,
            crop=self._crop,
            seed=self._seed,
            device=self._topology.device,
            stall_warning_seconds=self._data.stall_warning_seconds,
        )
