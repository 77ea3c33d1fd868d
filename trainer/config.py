"""The configuration of a training run, composed of the sections of its rooms."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, override, read_tree
from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.ranges import Range
from surgstream.configs.renamed import Renamed
from surgstream.shards.order.sequence import check_batch
from surgstream.shards.storage.addresses import local_folder
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.engine.config import (
    CheckpointConfig,
    HeldOutConfig,
    MetricsConfig,
    OptimConfig,
    ParallelConfig,
    ResumeConfig,
)
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.evaluation.tasks.loading import find_task, label_space
from surgstream.trainer.labelled.config import SelectConfig, TaskClipsConfig
from surgstream.trainer.lineage.config import CommercialConfig, LeaksConfig, WarmStartConfig
from surgstream.trainer.objectives.config import ObjectiveConfig, SupervisedConfig
from surgstream.trainer.objectives.jepa_config import problems_beside
from surgstream.trainer.probing.config import ProbeConfig
from surgstream.trainer.tracking.config import TrackingConfig

RUN_RECIPES = ("recipe.yaml", "config.yaml")
"""Files of a run directory: the recipe as it was submitted, and as the run resolved it."""

_FREE_TO_CHANGE = (
    "run_dir",
    "max_steps",
    "compile",
    "leaks",
    "commercial",
    "held_out",
    "probe",
    "checkpoint",
    "resume",
    "metrics",
    "tracking",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
        run_dir: The run's directory, which all ranks share and write to. The same directory resumes the run.
        seed: The key of the order, crops, masks, drop paths and initial weights.
        global_batch_size: Clips a step, over all ranks.
        micro_batch_size: Clips that a rank computes at once; the rest of its share is accumulated.
        epochs: Length of the schedule.
        clips_per_epoch: Clips called an epoch, at any batch size; null is as many as the corpus has.
        max_steps: Last step, even if the schedule is longer; null trains to the schedule's end.
        compile: Compile the teacher's pass and the student's with torch.compile, each as a whole, or, `regional`, block
            by block, which takes less time at the start; evaluation runs uncompiled.
        task: The task whose labels are learned, by a `supervised` objective: the name of one in
            `configs/evaluate/tasks`, or a file; with `@FOLD` one of its folds. null learns without labels.
        protocol: The name that predictions are stored with of how they were made; null is none.
        labels: The folder of the task's labels, or its `s3://` address; null takes those in `data.corpus`.
        clips: The labelled clips of the task, whose `clips.stride` takes the place of `data.stride`, which is 1 then.
        select: The weights that are tested.
        leaks: The search for videos of the task in what its weights were trained on before.
        commercial: Whether all licences of what is trained on must allow commercial use.
        data: Clips.
        held_out: Videos for the held-out loss; null takes none.
        probe: A probe of the features while training; null has none.
        objective: The pretraining objective.
        warm_start: Weights to begin with; null begins with random ones.
        optim: AdamW and its schedule.
        parallel: ZeRO and precision.
        checkpoint: Saving and keeping of checkpoints.
        resume: The checkpoint to resume from, and what may have changed.
        metrics: Metrics and pictures: how often.
        tracking: A tracker of experiments to report to; null has none.
    """

    renamed: ClassVar[Renamed] = Renamed(
        keys={
            "data.crop": "data.augment.crop",
            "data.order.lanes": "data.order.open_chunks",
            "data.order.deal": "data.order.micro_batches",
            "data.order.most_repeats": "data.order.warn_repeats_above",
            "objective.ema": "objective.ema_decay",
            "report": "metrics",
        },
        values={
            "data.order.micro_batches": {"runs": "by_chunk", "spread": "mixed"},
            "resume.allow": {"lanes": "chunks"},
        },
    )

    run_dir: Folder
    seed: Annotated[int, Range(0, 2**62)] = 0
    global_batch_size: Annotated[int, Range(1, 2**17)]
    micro_batch_size: Annotated[int, Range(1, 2**16)]
    epochs: Annotated[float, Range(1e-6, 1e6)]
    clips_per_epoch: Annotated[int, Range(1, 10**12)] | None = None
    max_steps: Annotated[int, Range(1, 10**9)] | None = None
    compile: bool | Literal["regional"] = False
    task: str | None = None
    protocol: str | None = None
    labels: Anywhere | None = None
    clips: TaskClipsConfig = field(default_factory=TaskClipsConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    leaks: LeaksConfig = field(default_factory=LeaksConfig)
    commercial: CommercialConfig = field(default_factory=CommercialConfig)
    data: DataConfig
    held_out: HeldOutConfig | None = None
    probe: ProbeConfig | None = None
    objective: ObjectiveConfig
    warm_start: WarmStartConfig | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    @property
    def free_to_change(self) -> tuple[str, ...]:
        """Fields that do not decide what is learned; `trainer.resume` warns where a resumed run changes another one."""
        if self.objective.by_micro_batch:
            return _FREE_TO_CHANGE
        return ("micro_batch_size", *_FREE_TO_CHANGE)

    def problems(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if self.compile and self.parallel.zero_stage == 3:
            yield (
                "compile: expected false with parallel.zero_stage 3, whose hooks break every graph; "
                "stage 2 compiles"
            )
        if self.parallel.zero_stage == 3 and self.objective.has_average:
            yield (
                "parallel.zero_stage: expected 1 or 2, got 3, which keeps no whole parameters for "
                f"{self.objective.name} to average"
            )

        address = self.checkpoint.mirror
        mirror = local_folder(address) if address else None
        if mirror and mirror.absolute().is_relative_to(Path(self.run_dir).absolute()):
            yield (
                f"checkpoint.mirror: expected a place outside of run_dir, got {mirror}, which would be "
                "lost with it"
            )

        yield from problems_beside(
            self.objective,
            stills_share=self.data.order.stills_share,
            micro_batch_size=self.micro_batch_size,
        )
        if self.probe:
            width = self.objective.encoder.shape.embed_dim
            yield from self.probe.problems_beside(width=width, has_held_out=bool(self.held_out))
        if (self.task is None) == (self.objective.name == "supervised"):
            yield (
                "task: expected a task where objective.name is supervised, and none elsewhere, got "
                f"{self.task} with {self.objective.name}"
            )
        if self.labels and not self.task:
            yield f"labels: expected none where there is no task, got {self.labels}"
        if self.task:
            yield from self._problems_beside_a_task()

        if self.global_batch_size % self.micro_batch_size:
            yield (
                "global_batch_size: expected a multiple of micro_batch_size "
                f"{self.micro_batch_size}, got {self.global_batch_size}"
            )

    def _problems_beside_a_task(self) -> Iterator[str]:
        if self.data.stride != 1:
            yield (
                "data.stride: expected 1 beside a task, whose clips have the stride of the task or "
                f"clips.stride, got {self.data.stride}"
            )
        if self.data.fps is not None:
            yield f"data.fps: expected null beside a task, which has every frame, got {self.data.fps:g}"
        if self.held_out:
            yield "held_out: expected null beside a task, which validates on its own, got a corpus"

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that the run reads, each once, the one that it trains on first."""
        places = [self.data.corpus]
        if self.held_out:
            places.append(self.held_out.corpus)
        if self.probe:
            places += filter(None, (self.probe.corpus, self.probe.test_corpus))
        return tuple(dict.fromkeys(places))

    def grad_accum_steps(self, world_size: int) -> int:
        """Compute how many micro-batches each rank has in a step.

        Raises:
            ConfigError: The global batch cannot be divided evenly among the ranks.
        """
        check_batch(self.global_batch_size, self.micro_batch_size, world_size)
        return self.global_batch_size // (self.micro_batch_size * world_size)

    def plan(self, *, num_clips: int, world_size: int, start: Progress) -> TrainingPlan:
        """Plan the run's steps and schedules from a given point on.

        Args:
            num_clips: Clips of the corpus.
            world_size: Ranks.
            start: The step and draw that the run stands at.

        Raises:
            ConfigError: The global batch cannot be divided evenly among the ranks.
        """
        batch = self.global_batch_size
        draws_per_epoch = self.clips_per_epoch or num_clips
        total_draws = math.ceil(self.epochs * draws_per_epoch)

        # Counted from `start`: the steps before it may have had another batch size.
        steps_left = max(0, math.ceil((total_draws - start.clips_seen) / batch))
        last_step = start.step + steps_left
        if self.max_steps is not None:
            last_step = min(last_step, self.max_steps)

        return TrainingPlan(
            global_batch_size=batch,
            grad_accum_steps=self.grad_accum_steps(world_size),
            last_step=last_step,
            draws_per_epoch=draws_per_epoch,
            warmup_draws=math.ceil(self.optim.warmup_epochs * draws_per_epoch),
            total_draws=total_draws,
            start_lr=self.optim.warmup_start_lr,
            peak_lr=self.optim.base_lr * batch / 256,  # base_lr is meant for a batch of 256
            end_lr=self.optim.min_lr,
            decay=self.optim.decay,
            start_weight_decay=self.optim.weight_decay,
            end_weight_decay=self.optim.weight_decay_end,
        )


def restore_recipe(saved: dict[str, Any], *, where: str) -> TrainConfig:
    """Build the configuration that a checkpoint keeps, whatever its keys were called then.

    Args:
        saved: Its keys and values; those that it did not know yet get their defaults.
        where: The checkpoint's name in messages.

    Raises:
        ConfigError: Any key or value is wrong.
    """
    return build(TrainConfig, TrainConfig.renamed.translate(saved), where=where)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe; see `load`. That of a run directory may have been written under earlier names of keys.

    Args:
        path: The YAML file.
        overrides: Words such as `optim.base_lr=3e-4`.

    Raises:
        ConfigError: See `load`.
    """
    path = Path(path)
    tree = read_tree(path)
    # A job that Slurm starts again reads what was written when it was submitted.
    if (
        path.name in RUN_RECIPES
        and Path(str(tree.get("run_dir"))).absolute() == path.parent.absolute()
    ):
        tree = TrainConfig.renamed.translate(tree)

    for word in overrides:
        override(tree, word)
    return _told_by_task(build(TrainConfig, tree, where=str(path)), where=str(path))


def _told_by_task(config: TrainConfig, where: str) -> TrainConfig:
    """A recipe whose objective knows what labels its task has."""
    objective = config.objective
    if config.task is None or not isinstance(objective, SupervisedConfig):
        return config

    space = label_space(find_task(config.task))
    told = replace(objective, kind=space.kind_of_rows, num_outputs=max(1, len(space.classes)))
    for key in ("kind", "num_outputs"):
        given = getattr(objective, key)
        expected = getattr(told, key)
        if given not in (None, expected):
            raise ConfigError(
                f"{where}: objective.{key}: expected {expected}, as {config.task} has, got {given}"
            )
    return replace(config, objective=told)
