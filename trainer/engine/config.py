"""The settings by which a run is optimised, spread over processes, saved and reported."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.ranges import Range
from surgstream.trainer.engine.guards.config import SpikeGuardConfig
from surgstream.trainer.engine.schedules import Decay

_MAX_BUCKET_ELEMENTS = 500_000_000
"""DeepSpeed's own bound."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning-rate schedule (see `trainer.engine.schedules`).

    Attributes:
        base_lr: Peak learning rate for a global batch of 256 clips; the peak grows linearly with the global batch.
        decay: From the peak on: half a `cosine` down to `min_lr`, a `linear` decay to it, or `none`.
        min_lr: Learning rate at the end of the decay, not scaled.
        warmup_start_lr: Learning rate of the first step, not scaled.
        warmup_epochs: Length of the linear warm-up.
        weight_decay: Decoupled weight decay of matrices; vectors (biases, norms) and tokens are not decayed.
        weight_decay_end: Weight decay at the end of the schedule, to which it goes by half a cosine from the first step
            on; null keeps it as it is.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: AdamW's epsilon.
        clip_grad_norm: Largest L2 norm of the full gradient; 0 does not clip.
        layer_decay: The learning rate of a layer as a share of the next one's: the embedding has the lowest, blocks
            follow, and all behind the encoder's blocks has the full one.
        spike_guard: Leaves out steps whose loss leaps (V-JEPA 2.1); null takes all.
    """

    base_lr: Annotated[float, Range(1e-12, 1e3)] = 1.5e-4
    decay: Decay = "cosine"
    min_lr: Annotated[float, Range(0, 1e3)] = 1e-5
    warmup_start_lr: Annotated[float, Range(0, 1e3)] = 0.0
    warmup_epochs: Annotated[float, Range(0, 1e6)] = 40.0
    weight_decay: Annotated[float, Range(0, 1e3)] = 0.05
    weight_decay_end: Annotated[float, Range(0, 1e3)] | None = None
    beta1: Annotated[float, Range(0, 0.999999)] = 0.9
    beta2: Annotated[float, Range(0, 0.999999)] = 0.95
    eps: Annotated[float, Range(1e-30, 1)] = 1e-8
    clip_grad_norm: Annotated[float, Range(0, 1e9)] = 0.0
    layer_decay: Annotated[float, Range(0.01, 1)] = 1.0
    spike_guard: SpikeGuardConfig | None = None

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's pair of moment decay rates."""
        return self.beta1, self.beta2


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """The model's spread over processes.

    Attributes:
        zero_stage: ZeRO stage: 1 shards the optimizer state, 2 also the gradients, 3 also the parameters.
        autocast: `bf16` computes in bf16 where it is safe, with fp32 parameters; `auto` does so on GPUs only; `none` is
            fp32 throughout.
        reduce_dtype: The type in which gradients are summed over ranks: `fp32`; `bf16`, under autocast for those of
            linear and convolutional layers alone; `auto` is the type that autocast computes in.
        overlap_comm: Overlap gradient reduction with the backward pass.
        timeout_seconds: How long a rank may make no progress before it writes its stacks and the run ends.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("zero_stage", "overlap_comm", "timeout_seconds")

    zero_stage: Annotated[int, Range(0, 3)] = 1
    autocast: Literal["auto", "bf16", "none"] = "auto"
    reduce_dtype: Literal["auto", "bf16", "fp32"] = "auto"
    overlap_comm: bool = False
    timeout_seconds: Annotated[float, Range(1, 1e6)] = 1800.0

    def computes_in_bf16(self, *, on_gpu: bool) -> bool:
        """Whether autocast is on."""
        return self.autocast == "bf16" or (self.autocast == "auto" and on_gpu)

    def reduces_in_bf16(self, *, on_gpu: bool) -> bool:
        """Whether gradients are summed in bf16, all or the most of them."""
        if self.reduce_dtype == "auto":
            return self.computes_in_bf16(on_gpu=on_gpu)
        return self.reduce_dtype == "bf16"

    def bucket_elements(self, num_trainable: int) -> int:
        """The gradients that are reduced at once. Some buffers have this size, so it is no larger than the model."""
        return min(_MAX_BUCKET_ELEMENTS, num_trainable)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.zero_stage == 0:
            yield (
                "zero_stage: 0 is refused: DeepSpeed gives no access to full fp32 tensors there, "
                "so a run could not be resumed on another world size; use 1"
            )


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """The intervals of saves, and the checkpoints to keep. A run also saves at its end and when it is asked to stop.

    Attributes:
        every_steps: Save after each step that is divisible by this; null goes by minutes alone.
        every_minutes: Save when this much time has passed since the last save; null goes by steps alone.
        keep_last: The newest checkpoints to keep.
        keep_every: Also keep the first checkpoint at or after each multiple of this many steps; 0 keeps none of them.
        mirror: A folder or `s3://` address of this run alone, to which each saved checkpoint is copied beside training;
            where `run_dir` has lost its own, the run resumes from there. null copies none.
    """

    every_steps: Annotated[int, Range(1, 10**9)] | None = 1000
    every_minutes: Annotated[float, Range(0.001, 1e6)] | None = 30.0
    keep_last: Annotated[int, Range(1, 10**6)] = 3
    keep_every: Annotated[int, Range(0, 10**9)] = 0
    mirror: Anywhere | None = None

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.every_steps is None and self.every_minutes is None:
            yield (
                "every_minutes: expected a number where every_steps is null, got null: "
                "nothing would be saved"
            )


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """The checkpoint to resume from; `resume: auto` is short for `resume: {checkpoint: auto}`.

    Attributes:
        checkpoint: `auto` takes the newest whole checkpoint of the run directory and its mirror, or starts from the
            beginning when there is none; `none` starts from the beginning, and refuses to if there are checkpoints;
            else the path of a checkpoint.
        allow: Differences from the checkpoint that are intended: another `corpus`, other `weights`, other `chunks`; and
            `run_dir`, a mirror of a run that had another run directory.
    """

    shorthand: ClassVar[str] = "checkpoint"

    checkpoint: Folder = "auto"
    allow: tuple[Literal["corpus", "weights", "chunks", "run_dir"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Videos that are never trained on, for the held-out loss and for pictures.

    Attributes:
        corpus: A corpus packed with `split=held_out`.
        every_steps: Steps from one evaluation of the held-out loss to the next; 0 is never.
        clips: Clips that the loss is computed on, evenly spread over the corpus; null takes every clip once.
    """

    corpus: Anywhere
    every_steps: Annotated[int, Range(0, 10**9)] = 1000
    clips: Annotated[int, Range(1, 10**9)] | None = 1024


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """The intervals of reports; 0 is never.

    Attributes:
        every_steps: Metrics; values are means over the steps since the last report.
        health_every_minutes: GPUs by NVML and network adapters, with a warning of each fault when it comes; looked at
            with the next metrics; 0 is never.
        pictures_every_steps: Pictures of what the model sees and predicts; 0 is never.
        collapse_every_steps: The diversity of features, with a warning when they collapse; 0 is never.
    """

    every_steps: Annotated[int, Range(1, 10**9)] = 10
    health_every_minutes: Annotated[float, Range(0, 1e6)] = 10.0
    pictures_every_steps: Annotated[int, Range(0, 10**9)] = 1000
    collapse_every_steps: Annotated[int, Range(0, 10**9)] = 500
