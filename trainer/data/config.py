"""Configuration of the clips: their source, order, reading, cropping and decoding."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.places import Anywhere, NodeFolder, expanded
from surgstream.configs.ranges import Range
from surgstream.shards.order.sequence import OrderConfig
from surgstream.shards.reading.clips import BadClipLimits
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.storage.stores import S3Config
from surgstream.trainer.data.augmentation.config import (
    CropConfig,
    EraseConfig,
    RandAugmentConfig,
    ResizedCropConfig,
)

View = Literal["squash", "start", "centre", "end"]
"""What is seen of the pictures of a clip that is judged: all of them at another aspect ratio, or the largest square at
the start (left or top), in the centre or at the end of the longer side."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training clips; clips that are judged are seen by a view.

    Whatever is drawn is drawn once a clip, for all of its frames. The order is that of the keys: a window is cut and
    resized, mirrored, changed by RandAugment, and erased in part.

    Attributes:
        crop: Cropping.
        resized_crop: Random resized crops, in place of `crop`; null takes `crop`.
        flip: Share of the clips whose left and right change places.
        rand_augment: RandAugment; null goes without.
        erase: Random erasing; null goes without.
    """

    crop: CropConfig = field(default_factory=CropConfig)
    resized_crop: ResizedCropConfig | None = None
    flip: Annotated[float, Range(0, 1)] = 0.0
    rand_augment: RandAugmentConfig | None = None
    erase: EraseConfig | None = None


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """Decoding of JPEGs.

    Attributes:
        device: `cpu` decodes on the rank's cores, `gpu` with nvJPEG on its GPU. `auto` takes the CPU, unless
            `pretrain --preflight` has just seen a GPU of each node decode pictures of the corpus as its CPU does.
        gpu_whole_frames: On the GPU, decode whole frames and crop them while resizing. `false` decodes the crop window
            alone, for which nvImageCodec 0.9 is reported to crash on Hopper.
        threads: CPU threads of each rank; 0 takes the rank's share of the cores, but for three where it has a GPU.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    gpu_whole_frames: bool = True
    threads: Annotated[int, Range(0, 512)] = 0


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Source, order and preparation of the clips.

    Attributes:
        corpus: The packed corpus: a folder or `s3://bucket/prefix`.
        datasets: Those of its datasets that are trained on, by name; null is all. The order is that of a corpus that
            has no others. Held-out clips and probes see all of their corpora.
        fps: Frames a second that clips are cut at, from `corpus` and from every evaluation corpus. A corpus at k times
            this rate is read as if it had been packed at this rate: every k-th frame of a video, each the anchor of one
            clip, at k times the bytes. null takes every packed frame, at any rate.
        stride: Frames, at that rate, from one frame of a clip to the next. A clip of T frames ends at its anchor frame
            and looks (T - 1) * stride frames back.
        order: The order in which clips are drawn.
        read: Reading of shards.
        cache_dir: A folder on the node's own disk that keeps chunks for later epochs and runs; null keeps none. Its
            variables are those of the node, as in `/local/$SLURM_JOB_ID`. The ranks of a node share it. Runs with
            another corpus, order or stride add to it, and nothing is ever removed to make room: delete the folder when
            it holds what no run needs.
        cache_bytes: The most bytes of chunks in that folder, over all runs. The default holds 3.5 million frames of
            20 kB with the look-back of their chunks.
        augment: Augmentation of training clips.
        decode: Decoding of JPEGs.
        s3: Access to S3, before `SURGSTREAM_STORES` and boto3's own settings. Its `retry` holds for folders as well.
        stall_warning_seconds: Each time the trainer has waited this long for a batch, the log says what it waits for.
        max_bad_clips: The most damaged clips, over all ranks since the last start, that a run tolerates; another clip
            of the same dataset stands in for each.
        max_bad_clips_in_a_row: The most damaged clips in a row on one rank; more are no accident.
        audit_log: Write which step consumed which clip to `audit/` in the run directory.
    """

    free_to_change: ClassVar[tuple[str, ...]] = (
        "corpus",
        "datasets",
        "order",
        "read",
        "cache_dir",
        "cache_bytes",
        "decode",
        "s3",
        "stall_warning_seconds",
        "max_bad_clips",
        "max_bad_clips_in_a_row",
        "audit_log",
    )
    """See `TrainConfig.free_to_change`; `trainer.resume` checks corpus, datasets and order by themselves."""

    corpus: Anywhere
    datasets: tuple[str, ...] | None = None
    fps: Annotated[float, Range(0.001, 1e3)] | None = None
    stride: Annotated[int, Range(1, 10**4)] = 4
    order: OrderConfig = field(default_factory=OrderConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    cache_dir: NodeFolder | None = None
    cache_bytes: Annotated[int, Range(1, 10**18)] = 100 * 10**9
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    s3: S3Config = field(default_factory=S3Config)
    stall_warning_seconds: Annotated[float, Range(1e-3, 1e6)] = 60.0
    max_bad_clips: Annotated[int, Range(0, 10**9)] = 100
    max_bad_clips_in_a_row: Annotated[int, Range(0, 10**9)] = 16
    audit_log: bool = False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.datasets is None:
            return
        if not self.datasets:
            yield "datasets: expected at least one name, or null for all, got none"
        for name in sorted(set(self.datasets)):
            if self.datasets.count(name) > 1:
                yield f"datasets: expected names that differ, got {name!r} more than once"

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The datasets that are trained on, by corpus; empty where all of it is."""
        return {} if self.datasets is None else {self.corpus: self.datasets}

    @property
    def cache_folder(self) -> Path | None:
        """`cache_dir` on this node.

        Raises:
            ConfigError: It names a variable that is not set here.
        """
        if self.cache_dir is None:
            return None
        try:
            return Path(expanded(self.cache_dir, remote=False))
        except ValueError as error:
            raise ConfigError(f"data.cache_dir: {error}") from None

    @property
    def limits(self) -> BadClipLimits:
        """The most clips that may be damaged."""
        return BadClipLimits(in_all=self.max_bad_clips, in_a_row=self.max_bad_clips_in_a_row)
