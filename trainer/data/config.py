"""Where clips come from and how they are prepared, in numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from shards.clips import BadClipLimits
from shards.order import OrderConfig
from shards.storage import S3Config
from shards.stream import ReadConfig


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Multi-scale cropping: one window a clip, shared by its frames, resized to the model's square input.

    Attributes:
        scales: Window sides as fractions of the frame's short side.
        max_distortion: How many places apart in `scales` a window's width and height may be.
        offsets: `fixed` places windows at one of 13 points, `uniform` anywhere in the frame.
    """

    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distortion: int = 1
    offsets: Literal["fixed", "uniform"] = "fixed"

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            yield f"scales: expected fractions in (0, 1], got {list(self.scales)}"
        if self.max_distortion < 0:
            yield f"max_distortion: expected 0 or more, got {self.max_distortion}"


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """Where and how JPEGs are decoded.

    Attributes:
        device: `gpu` decodes with nvJPEG on the rank's GPU, `cpu` on its cores, `auto` on the GPU where there is one.
        threads: CPU threads a rank; 0 takes this rank's share of the cores.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int = 0


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
