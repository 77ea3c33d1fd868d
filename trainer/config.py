"""A training run's configuration: each room's own, composed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.ranges import Range
from surgstream.shards.order.sequence import check_batch
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.engine.config import (
    CheckpointConfig,
    OptimConfig,
    ParallelConfig,
    ReportConfig,
    ResumeConfig,
)
from surgstream.trainer.engine.schedules import Plan, Progress
from surgstream.trainer.objectives.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Videos that are never trained on, to take the loss on and to draw.

    Attributes:
        corpus: A corpus packed with `split=held_out`.
        every_steps: How often the loss is taken, in steps; 0 is never.
        clips: Clips to take it on, evenly spread over the corpus; null takes every clip once.
    """

    corpus: Anywhere
    every_steps: Annotated[int, Range(0, 10**9)] = 1000
    clips: Annotated[int, Range(1, 10**9)] | None = 1024


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Weights to begin a run with; `warm_start: PATH` is short for our own, all of them.

    Attributes:
        weights: A checkpoint's directory (`checkpoints/step_00060000`), what `surgstream export` wrote, or a published
            .safetensors, .pth or .pt file.
        layout: Whose names it has: ours, those of VideoMAE's (V2's and SurgRec-MAE's, too), SurgVISTA's or V-JEPA 2's
            (SurgRec-JEPA's and SurgMotion's, too) own code, or those of transformers' `VideoMAEForPreTraining` or
            `VJEPA2Model`.
        parts: `all` expects every weight of the objective and no other; `encoder` takes the encoder alone.
        prefix: What stands before the names of its weights, or the first words of that, where a published file holds
            several networks: `model_ema`, `state_dict.student`. Null finds it.
        moments: Take AdamW's moments over as well, where `all` parts come from a checkpoint of ours; nothing else has
            them, and begins without, as false does.
    """

    shorthand: ClassVar[str] = "weights"

    weights: Folder
    layout: Literal[
        "surgstream",
        "videomae",
        "surgvista",
        "vjepa2",
        "transformers_videomae",
        "transformers_vjepa2",
    ] = "surgstream"
    parts: Literal["all", "encoder"] = "all"
    prefix: str | None = None
    moments: bool = True


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
    corpus: Anywhere | None = None
    test_corpus: Anywhere | None = None
    clips: Annotated[int, Range(2, 10**9)] = 512
    test_clips: Annotated[int, Range(1, 10**9)] = 512
    every_steps: Annotated[int, Range(0, 10**9)] = 1000


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

    free_to_change: ClassVar[tuple[str, ...]] = (
        "run_dir",
        "micro_batch_size",
        "max_steps",
        "compile",
        "held_out",
        "probe",
        "parallel",
        "checkpoint",
        "resume",
        "report",
    )
    """Fields that do not change what is learned, so that a resumed run may have other values; see `trainer.resume`."""

    run_dir: Folder
    seed: Annotated[int, Range(0, 2**62)] = 0
    global_batch_size: Annotated[int, Range(1, 2**17)]
    micro_batch_size: Annotated[int, Range(1, 2**16)]
    epochs: Annotated[float, Range(1e-6, 1e6)]
    clips_per_epoch: Annotated[int, Range(1, 10**12)] | None = None
    max_steps: Annotated[int, Range(1, 10**9)] | None = None
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
        """Yield what does not fit together."""
        if self.compile and self.parallel.zero_stage == 3:
            yield "compile: expected false with parallel.zero_stage 3, whose hooks break every graph; stage 2 compiles"
        if self.parallel.zero_stage == 3 and self.objective.has_average:
            yield (
                "parallel.zero_stage: expected 1 or 2, got 3, which keeps no whole parameters for "
                f"{self.objective.name} to average"
            )

        if self.probe and self.probe.test_corpus is None and self.held_out is None:
            yield "probe.test_corpus: expected a corpus where held_out is null, got nothing"

        if self.global_batch_size % self.micro_batch_size:
            yield (
                f"global_batch_size: expected a multiple of micro_batch_size {self.micro_batch_size}, "
                f"got {self.global_batch_size}"
            )

    @property
    def corpora(self) -> tuple[str, ...]:
        """All that the run reads, each once, what it trains on first."""
        places = [self.data.corpus]
        if self.held_out:
            places.append(self.held_out.corpus)
        if self.probe:
            places += filter(None, (self.probe.corpus, self.probe.test_corpus))
        return tuple(dict.fromkeys(places))

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
        # From where the run stands: the steps before may have had another batch size.
        last_step = start.step + max(0, math.ceil((total_draws - start.g) / batch))

        return Plan(
            global_batch_size=batch,
            grad_accum_steps=self.grad_accum_steps(world_size),
            last_step=min(last_step, self.max_steps or last_step),
            draws_per_epoch=draws_per_epoch,
            warmup_draws=math.ceil(self.optim.warmup_epochs * draws_per_epoch),
            total_draws=total_draws,
            start_lr=self.optim.warmup_start_lr,
            peak_lr=self.optim.base_lr * batch / 256,  # base_lr is meant for a batch of 256
            end_lr=self.optim.min_lr,
            decay=self.optim.decay,
        )
