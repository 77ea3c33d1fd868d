"""A training run's configuration: each room's own, composed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from shards.order import check_batch
from trainer.data.config import DataConfig
from trainer.engine.config import CheckpointConfig, OptimConfig, ParallelConfig, ReportConfig, ResumeConfig
from trainer.engine.schedules import Plan, Progress
from trainer.objectives.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Videos that are never trained on, to take the loss on and to draw.

    Attributes:
        corpus: A corpus packed with `split=held_out`.
        every_steps: How often the loss is taken, in steps; 0 is never.
        clips: Clips to take it on, evenly spread over the corpus; null takes every clip once.
    """

    corpus: str
    every_steps: int = 1000
    clips: int | None = 1024

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name, least in (("every_steps", 0), ("clips", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                yield f"{name}: expected {least} or more, got {value}"


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Weights to begin a run with; `warm_start: PATH` is short for our own, all of them.

    Attributes:
        weights: A checkpoint's directory (`checkpoints/step_00060000`), what `surgstream export` wrote, or a published
            .safetensors, .pth or .pt file.
        layout: Whose names it has: ours, those of VideoMAE's, SurgVISTA's or V-JEPA 2's own code, or those of
            transformers' `VideoMAEForPreTraining` or `VJEPA2Model`.
        parts: `all` expects every weight of the objective and no other; `encoder` takes the encoder alone.
    """

    shorthand: ClassVar[str] = "weights"

    weights: str
    layout: Literal["surgstream", "videomae", "surgvista", "vjepa2", "transformers_videomae", "transformers_vjepa2"] = (
        "surgstream"
    )
    parts: Literal["all", "encoder"] = "all"


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Labels that a linear readout of the features is asked about during training, and nothing is trained on.

    Attributes:
        label: The kind of label, as in the corpus file.
        corpus: What the readout is fitted to; null takes `data.corpus`.
        test_corpus: Other videos, to ask about; null takes `held_out.corpus`.
        clips: Clips to fit it to, evenly spread over the corpus.
        test_clips: Clips to ask about.
        every_steps: How often, in steps; 0 is never.
    """

    label: str = "phase"
    corpus: str | None = None
    test_corpus: str | None = None
    clips: int = 512
    test_clips: int = 512
    every_steps: int = 1000

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name, least in (("clips", 2), ("test_clips", 1), ("every_steps", 0)):
            if getattr(self, name) < least:
                yield f"{name}: expected {least} or more, got {getattr(self, name)}"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
        run_dir: Where everything of the run is written; shared by all ranks. The same directory resumes the run.
        seed: Decides the order, crops, masks, drop paths and initial weights.
        global_batch_size: Clips a step, over all ranks.
        micro_batch_size: Clips a rank computes at once; the rest of its share is accumulated.
        epochs: Length of the schedule.
        clips_per_epoch: Clips called an epoch, whatever the batch; null is as many as the corpus has.
        max_steps: Stop after this step, whatever the schedule; null trains to its end.
        compile: Compile the teacher's pass and the student's with torch.compile; evaluation runs uncompiled.
        data: Clips.
        held_out: Videos for the held-out loss; null takes none.
        probe: Labels to ask the features about; null asks nothing.
        objective: What is learned.
        warm_start: Weights to begin with; null begins with random ones.
        optim: AdamW and its schedule.
        parallel: ZeRO and precision.
        checkpoint: When to save, what to keep.
        resume: Where to continue.
        report: Metrics and pictures.
    """

    run_dir: str
    seed: int = 0
    global_batch_size: int
    micro_batch_size: int
    epochs: float
    clips_per_epoch: int | None = None
    max_steps: int | None = None
    compile: bool = False
    data: DataConfig
    held_out: HeldOutConfig | None = None
    probe: ProbeConfig | None = None
    objective: ObjectiveConfig
    warm_start: WarmStartConfig | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name in ("global_batch_size", "micro_batch_size", "clips_per_epoch", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield f"{name}: expected 1 or more, got {value}"
        if self.compile and self.parallel.zero_stage == 3:
            yield "compile: expected false with parallel.zero_stage 3, whose hooks break every graph; stage 2 compiles"
        if self.parallel.zero_stage == 3 and hasattr(self.objective, "ema"):
            yield (
                "parallel.zero_stage: expected 1 or 2, got 3, which keeps no whole parameters for "
                f"{self.objective.name} to average"
            )
        if self.probe and self.probe.test_corpus is None and self.held_out is None:
            yield "probe.test_corpus: expected a corpus where held_out is null, got nothing"
        if self.epochs <= 0:
            yield f"epochs: expected a number above 0, got {self.epochs}"
        if self.micro_batch_size > 0 and self.global_batch_size % self.micro_batch_size:
            yield (
                f"global_batch_size: expected a multiple of micro_batch_size {self.micro_batch_size}, "
                f"got {self.global_batch_size}"
            )

    def grad_accum_steps(self, world_size: int) -> int:
        """Micro-batches a rank and step.

        Raises:
            ConfigError: The global batch cannot be dealt evenly to the ranks.
        """
        check_batch(self.global_batch_size, self.micro_batch_size, world_size)
        return self.global_batch_size // (self.micro_batch_size * world_size)

    def plan(self, *, num_clips: int, world_size: int, start: Progress) -> Plan:
        """The run in numbers, from a given point on.

        Args:
            num_clips: Clips of the corpus.
            world_size: Ranks.
            start: Where the run stands.

        Raises:
            ConfigError: The global batch cannot be dealt evenly to the ranks.
        """
        batch = self.global_batch_size
        draws_per_epoch = self.clips_per_epoch or num_clips
        total_draws = math.ceil(self.epochs * draws_per_epoch)
        last_step = start.step + max(0, math.ceil((total_draws - start.g) / batch))
        return Plan(
            global_batch_size=batch,
            grad_accum_steps=self.grad_accum_steps(world_size),
            last_step=min(last_step, self.max_steps or last_step),
            draws_per_epoch=draws_per_epoch,
            warmup_draws=math.ceil(self.optim.warmup_epochs * draws_per_epoch),
            total_draws=total_draws,
            start_lr=self.optim.warmup_start_lr,
            peak_lr=self.optim.base_lr * batch / 256,
            end_lr=self.optim.min_lr,
            decay=self.optim.decay,
        )
