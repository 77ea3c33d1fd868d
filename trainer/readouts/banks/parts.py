"""What a run that trains a bank is made of, and where it stands."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.lineage.verdict import LEAKS
from surgstream.trainer.readouts.banks.adamw import StackedAdamW
from surgstream.trainer.readouts.banks.bank import HeadBank
from surgstream.trainer.readouts.banks.choosing import Choice, Head, Validation, choose, history_to
from surgstream.trainer.readouts.banks.heads import Inputs
from surgstream.trainer.readouts.banks.judging import Judge
from surgstream.trainer.readouts.banks.state import KeptHead
from surgstream.trainer.readouts.banks.targets import Target
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.dense.scales import Scales
from surgstream.trainer.readouts.dense.targets import DenseTarget


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What a run is made of.

    Attributes:
        recipe: The recipe.
        rank_info: This rank's place.
        task: The task.
        metric: Its main metric.
        encoder: The frozen encoder, on the device.
        scales: The same at the sizes that steps of the training draw.
        inputs: What the heads take of it.
        target: What they learn.
        heads: Learning rate and decay of each.
        bank: The heads.
        optimizer: Their optimizer.
        plan: The run in numbers; peak learning rates are 1.
        validate_every_steps: Steps from one validation to the next.
        val: Predicts the validation videos; None where there are none.
        test: Predicts the test videos.
        flops_per_clip: Floating point operations of a training clip.
        entries: What a state holds that never changes: order, manifest, recipe, encoder.
        leaks: What was found of the task's videos in what the encoder was trained on, as JSON; None is not known.
    """

    recipe: ProbeRecipe
    rank_info: RankInfo
    task: TaskConfig
    metric: Metric
    encoder: FrozenEncoder
    scales: Scales
    inputs: Inputs
    target: Target | DenseTarget
    heads: Sequence[Head]
    bank: HeadBank
    optimizer: StackedAdamW
    plan: TrainingPlan
    validate_every_steps: int
    val: Judge | None
    test: Judge
    flops_per_clip: int
    entries: Mapping[str, Any]
    leaks: Mapping[str, Any] | None = None

    @property
    def run_dir(self) -> Path:
        """The run's directory."""
        return Path(self.recipe.run_dir)

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of encoder and heads."""
        return torch.autocast(
            self.rank_info.device.type, torch.bfloat16, enabled=self.computes_in_bf16
        )

    @property
    def computes_in_bf16(self) -> bool:
        """Whether matrix products are in bf16."""
        return self.recipe.encoder.computes_in_bf16(on_gpu=self.rank_info.device.type == "cuda")

    def about(self, standing: "Standing", head: int) -> dict[str, Any]:
        """What made the predictions of a head, to be stored with them."""
        recipe = self.recipe
        return {
            "made_by": "surgstream probe",
            "task": self.task.name,
            "task_version": self.task.version,
            "protocol": recipe.protocol,
            "readout": recipe.readout.name,
            "weights": recipe.weights,
            "encoder": self.encoder.name,
            "encoder_sha256": self.encoder.identity,
            "seed": recipe.seed,
            "step": standing.step,
            "epoch": standing.clips_seen / self.plan.draws_per_epoch,
            "lr": self.heads[head].lr,
            "weight_decay": self.heads[head].weight_decay,
            **({LEAKS: self.leaks} if self.leaks else {}),
        }


@dataclass(kw_only=True, eq=False)
class Standing:
    """Where a run stands.

    Attributes:
        step: Steps done.
        clips_seen: Draws consumed.
        dropped_at: (H,) int64, the step in which a head diverged; -1 of one that is alive.
        history: All validations.
        kept: The best head so far.
    """

    step: int
    clips_seen: int
    dropped_at: Tensor
    history: list[Validation] = field(default_factory=list)
    kept: KeptHead | None = None

    @property
    def alive(self) -> Tensor:
        """(H,) bool, the heads that go on; the host does not wait for it."""
        return self.dropped_at < 0

    @property
    def dropped(self) -> dict[int, int]:
        """The heads that are dropped, and the step of each; the host waits for the device."""
        steps = self.dropped_at.tolist()
        return {head: step for head, step in enumerate(steps) if step >= 0}

    def drop(self, finite: Tensor) -> None:
        """Drop the heads whose loss or gradient is not finite in this step, for good."""
        falls = self.alive & ~finite
        self.dropped_at.masked_fill_(falls, self.step)

    def choice(self, parts: Parts) -> Choice | None:
        """The best head so far; None where no validation says so."""
        return choose(self.history, parts.heads, higher_is_better=parts.metric.higher_is_better)

    def entries(self) -> dict[str, Any]:
        """What goes into the JSON of a state."""
        return {"history": history_to(self.history), "kept": self.kept is not None}

    def tensors(self, parts: Parts) -> dict[str, Tensor]:
        """What goes into the files of a state, by name; views, which a resume fills."""
        found = {
            "weights": parts.bank.weights.flat,
            "first_moments": parts.optimizer.first_moments.flat,
            "second_moments": parts.optimizer.second_moments.flat,
            "dropped_at": self.dropped_at,
        }
        found |= {f"statistics/{name}": value for name, value in parts.inputs.statistics.items()}
        return found | (self.kept.tensors() if self.kept else {})
