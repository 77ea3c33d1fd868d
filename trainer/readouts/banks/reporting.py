"""Reports of a run that trains a bank: losses, speed, and heads that are dropped."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.engine.metrics import (
    MetricsWriter,
    StepClock,
    Value,
    device_use,
    step_times,
)
from surgstream.trainer.errors import NonFiniteLossError
from surgstream.trainer.readouts.banks.parts import Parts, Standing
from surgstream.trainer.tracking.trackers import Tracking

log = logging.getLogger(__name__)


class BankReports:
    """Collects the losses of steps without waiting for the device, and writes them to `metrics.jsonl` at a report.

    Args:
        parts: What the run is made of.
        standing: Where it stands.
        watch: Returns values to report of the clips, given the draws done; all ranks call it together.

    Attributes:
        clock: Times the parts of steps.
    """

    def __init__(
        self, parts: Parts, standing: Standing, watch: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._parts = parts
        self._standing = standing
        self._watch = watch
        self.clock = StepClock(parts.rank_info.device)
        self._metrics: MetricsWriter | None = None
        if parts.rank_info.is_main:
            tracking = Tracking(parts.recipe.tracking, parts.run_dir, parts.recipe)
            self._metrics = MetricsWriter(parts.run_dir, step=standing.step, tracking=tracking)
        self._losses: list[Tensor] = []
        self._told: set[int] = set(standing.dropped)

    def add_losses(self, losses: Tensor) -> None:
        """Note the losses (H,) of a step; those of dropped heads do not count."""
        alive = self._standing.alive
        self._losses.append(torch.where(alive, losses, 0.0).sum() / alive.sum())

    def report(self) -> None:
        """Report the steps since the last report; collective."""
        self.tell_dropped()
        parts, standing = self._parts, self._standing
        num_steps = len(self._losses)
        losses = torch.stack(self._losses).tolist()
        self._losses.clear()

        batch = parts.recipe.global_batch_size
        seconds, by_part = self.clock.read()
        clips_per_second = num_steps * batch / seconds
        flops_per_second = parts.flops_per_clip * clips_per_second / parts.rank_info.world_size
        values: dict[str, Value] = {
            "loss/total": sum(losses) / num_steps,
            "heads/alive": parts.bank.num_heads - len(self._told),
            "optim/share_of_peak_lr": parts.plan.lr(standing.clips_seen - batch),
            "progress/clips": standing.clips_seen,
            "progress/last_step": parts.plan.last_step,
            "progress/epoch": standing.clips_seen / parts.plan.draws_per_epoch,
            "throughput/clips_per_second": clips_per_second,
        }
        values |= step_times(seconds, by_part, num_steps)
        values |= self._watch(standing.clips_seen)
        values |= device_use(parts.rank_info.device, flops_per_second)
        self.write(values)

    def write(self, values: Mapping[str, Value]) -> None:
        """Report values of this step; rank 0 alone writes."""
        if self._metrics:
            self._metrics.write(self._standing.step, values)

    def tell_dropped(self) -> None:
        """Log the heads that diverged since the last look.

        Raises:
            NonFiniteLossError: None is left, on every rank.
        """
        dropped = self._standing.dropped
        if self._parts.rank_info.is_main:
            for head in sorted(dropped.keys() - self._told):
                log.warning(
                    "head %d (%s) diverged at step %d and is dropped; the others go on",
                    head,
                    self._parts.heads[head],
                    dropped[head],
                )
        self._told |= dropped.keys()

        if len(dropped) == self._parts.bank.num_heads:
            raise NonFiniteLossError(
                f"all {len(dropped)} heads diverged, the last one at step {max(dropped.values())}: "
                "expected one finite loss at least; take lower readout.grid.lrs in another run_dir"
            )

    def close(self) -> None:
        """Close the files."""
        if self._metrics:
            self._metrics.close()
