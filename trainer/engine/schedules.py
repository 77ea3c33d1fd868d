"""The progress, the plan, the learning rate and the weight decay of a run: pure functions of the draws consumed.

A resume or another global batch changes nothing else.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

Decay = Literal["cosine", "linear", "none"]


def learning_rate(
    clips_seen: int,
    *,
    total: int,
    warmup: int,
    start: float,
    peak: float,
    end: float,
    decay: Decay = "cosine",
) -> float:
    """Linear warm-up from `start` to `peak`, then half a cosine or a line down to `end`, or the peak for good.

    Args:
        clips_seen: Draws consumed before this step.
        total: Draws of the whole run.
        warmup: Draws of the warm-up.
        start: Learning rate at clips_seen = 0.
        peak: Learning rate at clips_seen = warmup.
        end: Learning rate at clips_seen = total and after, where it decays.
        decay: The shape of the decay.

    Returns:
        The step's learning rate.
    """
    if clips_seen < warmup:
        return start + (peak - start) * clips_seen / warmup
    done = min(1.0, (clips_seen - warmup) / max(1, total - warmup))
    if decay == "none":
        return peak
    if decay == "linear":
        return peak + (end - peak) * done
    return end + 0.5 * (peak - end) * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        step: Optimizer steps done.
        clips_seen: Draws consumed by them.
        state: What a resume needs: the run's order, manifest hash and configuration; empty at the beginning.
    """

    step: int
    clips_seen: int
    state: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A run in numbers; see `trainer.config.TrainConfig.plan`.

    Attributes:
        global_batch_size: Clips a step, over all ranks.
        grad_accum_steps: Micro-batches a rank and step.
        last_step: The step after which the run ends.
        draws_per_epoch: Draws called an epoch.
        warmup_draws: Length of the learning rate's warm-up.
        total_draws: Length of the schedule.
        peak_lr: Learning rate after the warm-up.
        start_lr: Learning rate of the first step.
        end_lr: Learning rate at the end of the schedule, where it decays.
        decay: The shape of the decay to `end_lr`.
        start_weight_decay: Weight decay of the first step, where it changes.
        end_weight_decay: Weight decay at the end of the schedule; None where it stays as it is.
    """

    global_batch_size: int
    grad_accum_steps: int
    last_step: int
    draws_per_epoch: int
    warmup_draws: int
    total_draws: int
    peak_lr: float
    start_lr: float
    end_lr: float
    decay: Decay
    start_weight_decay: float = 0.0
    end_weight_decay: float | None = None

    def lr(self, clips_seen: int) -> float:
        """Learning rate of the step that consumes the draws from clips_seen on."""
        return learning_rate(
            clips_seen,
            total=self.total_draws,
            warmup=self.warmup_draws,
            start=self.start_lr,
            peak=self.peak_lr,
            end=self.end_lr,
            decay=self.decay,
        )

    def weight_decay(self, clips_seen: int) -> float | None:
        """Weight decay of that step, by half a cosine over the whole run; None where it stays as it is."""
        if self.end_weight_decay is None:
            return None
        done = min(1.0, clips_seen / max(1, self.total_draws))
        rise = 0.5 * (1.0 - math.cos(math.pi * done))
        return self.start_weight_decay + (self.end_weight_decay - self.start_weight_decay) * rise
