"""How a run is optimised, spread, saved and reported."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.engine.schedules import Decay


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning-rate schedule (see `trainer.engine.schedules`).

    Attributes:
        base_lr: Peak learning rate for a global batch of 256 clips; the peak grows linearly with the global batch.
        decay: From the peak on: half a `cosine` down to `min_lr`, a `linear` way there, or `none`.
        min_lr: Learning rate at the end of the decay, not scaled.
        warmup_start_lr: Learning rate of the first step, not scaled.
        warmup_epochs: Length of the linear warm-up.
        weight_decay: Decoupled weight decay of matrices; vectors (biases, norms) and tokens are not decayed.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: AdamW's epsilon.
        clip_grad_norm: Largest L2 norm of the full gradient; 0 does not clip.
    """

    base_lr: float = 1.5e-4
    decay: Decay = "cosine"
    min_lr: float = 1e-5
    warmup_start_lr: float = 0.0
    warmup_epochs: float = 40.0
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip_grad_norm: float = 0.0

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's pair of moment decay rates."""
        return self.beta1, self.beta2

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name in ("base_lr", "eps"):
            if getattr(self, name) <= 0:
                yield f"{name}: expected a number above 0, got {getattr(self, name)}"
        for name in ("min_lr", "warmup_start_lr", "warmup_epochs", "weight_decay", "clip_grad_norm"):
            if getattr(self, name) < 0:
                yield f"{name}: expected 0 or more, got {getattr(self, name)}"
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                yield f"{name}: expected a number in [0, 1), got {getattr(self, name)}"


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How the model is spread over processes.

    Attributes:
        zero_stage: ZeRO stage: 1 shards the optimizer state, 2 also the gradients, 3 also the parameters.
        autocast: `bf16` computes in bf16 where it is safe, with fp32 parameters, and reduces gradients as they come out
            of it; `auto` does so on GPUs only; `none` is fp32 throughout.
        overlap_comm: Overlap gradient reduction with the backward pass.
        timeout_seconds: How long a rank may make no progress before it writes its stacks and the run ends.
    """

    zero_stage: int = 1
    autocast: Literal["auto", "bf16", "none"] = "auto"
    overlap_comm: bool = False
    timeout_seconds: float = 1800.0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.zero_stage == 0:
            yield (
                "zero_stage: 0 is refused: DeepSpeed gives no access to full fp32 tensors there, so a run could not be "
                "resumed on another world size; use 1"
            )
        elif self.zero_stage not in (1, 2, 3):
            yield f"zero_stage: expected 1, 2 or 3, got {self.zero_stage}"
        if self.timeout_seconds <= 0:
            yield f"timeout_seconds: expected a number above 0, got {self.timeout_seconds}"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When to save, and what to keep.

    Attributes:
        every_steps: Save each time this many steps are done, and at the end.
        keep_last: The newest checkpoints to keep.
        keep_every: Also keep checkpoints of steps divisible by this; 0 keeps none of them.
    """

    every_steps: int = 1000
    keep_last: int = 3
    keep_every: int = 0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name, least in (("every_steps", 1), ("keep_last", 1), ("keep_every", 0)):
            if getattr(self, name) < least:
                yield f"{name}: expected {least} or more, got {getattr(self, name)}"


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """Where a run continues; `resume: auto` is short for `resume: {checkpoint: auto}`.

    Attributes:
        checkpoint: `auto` takes the newest whole checkpoint of the run directory, or starts anew when there is none;
            `none` starts anew, and refuses to if there are checkpoints; else the path of a checkpoint.
        allow: Differences from the checkpoint that are meant: another `corpus`, other `weights`, other `lanes`.
    """

    shorthand: ClassVar[str] = "checkpoint"

    checkpoint: str = "auto"
    allow: tuple[Literal["corpus", "weights", "lanes"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What is reported how often, in steps; 0 is never.

    Attributes:
        every_steps: Metrics; values are means over the steps since the last report.
        pictures_every_steps: Pictures of what the model sees and paints.
        collapse_every_steps: How diverse features are; a collapse is warned of.
    """

    every_steps: int = 10
    pictures_every_steps: int = 1000
    collapse_every_steps: int = 500

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.every_steps < 1:
            yield f"every_steps: expected 1 or more, got {self.every_steps}"
