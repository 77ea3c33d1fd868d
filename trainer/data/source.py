"""A packed corpus in a given order, as batches on this rank's device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shards.cache import ChunkCache
from shards.clips import BadClipLimits
from shards.order import Order, OrderConfig
from shards.passes import ClipPass
from shards.storage import S3Config
from shards.stream import ClipFeed, ClipStream, ReadConfig
from shards.table import FrameTable
from trainer.data.augment import CropConfig
from trainer.data.decode import ClipDecoder, DecodeConfig
from trainer.data.loader import ClipLoader
from trainer.distributed import Topology


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where clips come from and how they are prepared.

    Attributes:
        corpus: The packed corpus: a folder or `s3://bucket/prefix`.
        stride: Packed frames from one frame of a clip to the next. A clip of T frames ends at its anchor frame and
            looks (T - 1) * stride frames back.
        order: Which clip is drawn when.
        read: How shards are read.
        cache_dir: A folder on the node's own disk that keeps chunks for later epochs and runs; null keeps none. The
            ranks of a node share it. Runs with another corpus, order or stride add to it, and nothing is ever removed
            to make room: delete the folder when it holds what no run needs.
        cache_bytes: The most bytes of chunks in that folder, over all runs. The default holds 3.5 million frames of
            20 kB with the look-back of their chunks.
        crop: How clips are cropped.
        decode: Where JPEGs are decoded.
        s3: How to reach S3, where the environment does not say it.
        stall_warning_seconds: Each time the trainer has waited so long for a batch, the log says what for.
        max_bad_clips: How many clips may be damaged, over all ranks since the last start, before the run ends; until
            then another clip of the same dataset stands in for each.
        max_bad_clips_in_a_row: How many of one rank's clips in a row; more are no accident.
        audit_log: Write which step consumed which clip to `audit/` in the run directory.
    """

    corpus: str
    stride: int = 4
    order: OrderConfig = field(default_factory=OrderConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    cache_dir: str | None = None
    cache_bytes: int = 100 * 10**9
    crop: CropConfig = field(default_factory=CropConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    s3: S3Config = field(default_factory=S3Config)
    stall_warning_seconds: float = 60.0
    max_bad_clips: int = 100
    max_bad_clips_in_a_row: int = 16
    audit_log: bool = False

    @property
    def limits(self) -> BadClipLimits:
        """How many clips may be damaged."""
        return BadClipLimits(in_all=self.max_bad_clips, in_a_row=self.max_bad_clips_in_a_row)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.stride < 1:
            yield f"stride: expected 1 or more, got {self.stride}"
        if self.cache_dir == "":
            yield "cache_dir: expected a folder or null, got nothing; is a variable of the shell not set?"
        if self.cache_bytes < 1:
            yield f"cache_bytes: expected 1 or more, got {self.cache_bytes}"
        for name in ("max_bad_clips", "max_bad_clips_in_a_row"):
            if getattr(self, name) < 0:
                yield f"{name}: expected 0 or more, got {getattr(self, name)}"
        if self.stall_warning_seconds <= 0:
            yield f"stall_warning_seconds: expected a number above 0, got {self.stall_warning_seconds}"


class ClipSource:
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
            data: How to read and decode.
            corpus: The packed frames.
            seed: Draws the crops.
            num_frames: Frames a clip, T.
            image_size: Height and width of the model's input in pixels.
            micro_batch_size: Clips a batch.
            topology: This rank's place.
            crop: How to draw crop windows; None takes centre squares, for evaluation.

        Raises:
            ConfigError: The cache's folder is not this user's alone to write to, or cannot be made.
        """
        self._data, self._corpus, self._seed, self._topology, self._crop = data, corpus, seed, topology, crop
        self._num_frames, self._micro_batch_size = num_frames, micro_batch_size
        self._cache = ChunkCache(Path(data.cache_dir), data.cache_bytes, corpus.sha256) if data.cache_dir else None
        self._decoder = ClipDecoder(
            data.decode,
            max_clips=micro_batch_size,
            num_frames=num_frames,
            image_size=image_size,
            device=topology.device,
        )

    def open(self, order: Order, *, global_batch_size: int, start: int) -> ClipLoader:
        """Start loading this rank's share of the draws of an order, from `start` on without end."""
        return self._load(
            ClipStream(
                self._corpus,
                order,
                num_frames=self._num_frames,
                stride=self._data.stride,
                global_batch_size=global_batch_size,
                micro_batch_size=self._micro_batch_size,
                rank=self._topology.rank,
                world_size=self._topology.world_size,
                start=start,
                stop=None,
                read=self._data.read,
                deal=self._data.order.deal,
                limits=self._data.limits,
                cache=self._cache,
            )
        )

    def open_pass(
        self, num_clips: int | None = None, *, datasets: Sequence[str] | None = None, shared: bool = True
    ) -> ClipLoader:
        """Start loading clips in the order of the corpus, each once; see `shards.passes`.

        Args:
            num_clips: Take so many, evenly spread; None takes all.
            datasets: Take these datasets alone.
            shared: Whether the ranks share the clips, or each takes all of them.
        """
        return self._load(
            ClipPass(
                self._corpus,
                num_frames=self._num_frames,
                stride=self._data.stride,
                micro_batch_size=self._micro_batch_size,
                rank=self._topology.rank if shared else 0,
                world_size=self._topology.world_size if shared else 1,
                chunk_frames=self._data.order.chunk_frames,
                read=self._data.read,
                limits=self._data.limits,
                cache=self._cache,
                num_clips=num_clips,
                datasets=datasets,
            )
        )

    def _load(self, clips: ClipFeed) -> ClipLoader:
        return ClipLoader(
            clips,
            self._decoder,
            crop=self._crop,
            seed=self._seed,
            device=self._topology.device,
            stall_warning_seconds=self._data.stall_warning_seconds,
        )
