"""The training loop."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from surgstream.shards.progress import progress_bar
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.engine.audit import AuditLog
from surgstream.trainer.engine.checkpoint import save_checkpoint
from surgstream.trainer.engine.checkpoint_files import prune
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.guards.watchdog import Watchdog
from surgstream.trainer.engine.metrics import MetricsWriter, Reporting, StepClock, Value, device_use
from surgstream.trainer.engine.periodic import Periodic, StepContext, evaluating
from surgstream.trainer.engine.preemption.agreement import StopConsensus
from surgstream.trainer.engine.preemption.stops import mark_stopped
from surgstream.trainer.engine.profile import Profiler
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.engine.selection import Selection
from surgstream.trainer.engine.step_log import StepLog
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.runs.files import CHECKPOINTS

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Guards:
    """The guards of a run, and the profiler.

    Attributes:
        agreement: Tells all ranks after the same step that one of them was asked to stop; closed with the loop.
        watchdog: Ends this process when it hangs.
        profiler: Traces steps on request.
        check_owner: Raises if another start has taken the run over; rank 0 calls it before each save.
    """

    agreement: StopConsensus
    watchdog: Watchdog
    profiler: Profiler
    check_owner: Callable[[], None]


class Trainer:
    """Takes steps until the plan is done or the run is asked to stop; reports, evaluates and saves on the way."""

    def __init__(
        self,
        engine: ZeroEngine,
        objective: Objective,
        batches: Iterator[ClipBatch],
        *,
        plan: TrainingPlan,
        progress: Progress,
        rank_info: RankInfo,
        run_dir: Path,
        reporting: Reporting,
        checkpoint: CheckpointConfig,
        periodic: Sequence[Periodic],
        guards: Guards,
        selection: Selection | None = None,
        mirror: Callable[[Path, int | None], int | None] | None = None,
    ) -> None:
        """Take over a run at `progress`.

        Args:
            engine: The objective under ZeRO.
            objective: The objective itself, for its targets.
            batches: This rank's micro-batches from draw `progress.clips_seen` on.
            plan: The run in numbers.
            progress: The steps and draws done; its state goes into every checkpoint.
            rank_info: This rank's place.
            run_dir: The directory to write to.
            reporting: The reports of its steps.
            checkpoint: The intervals of saves, and the checkpoints to keep.
            periodic: Other tasks, run after every N steps in this order.
            guards: The guards of the run.
            selection: The choice of the best weights; None makes none.
            mirror: On rank 0, is given each saved checkpoint and the step of the best; returns a step that must stay.
        """
        self.engine = engine
        self.objective = objective
        self.batches = batches
        self.rank_info = rank_info
        self.run_dir = run_dir

        self.plan = plan
        self.step = progress.step
        self.clips_seen = progress.clips_seen
        self.state = progress.state
        self.last_saved = self.step
        self.saved_at = time.monotonic()

        self.reporting = reporting
        self.checkpoint = checkpoint
        self.periodic = periodic
        self.guards = guards
        self.selection = selection or Selection.nothing()
        self.mirror = mirror

        self.clock = StepClock(rank_info.device)
        self.steps = StepLog(rank_info, run_dir)
        self.metrics: MetricsWriter | None = None
        if rank_info.is_main:
            self.metrics = MetricsWriter(run_dir, step=self.step, tracking=reporting.tracking)
        self.audit = AuditLog(run_dir, rank_info.rank) if reporting.audit_log else None

    def train(self) -> None:
        """Train to the plan's last step, or to where all ranks are asked to stop; then save, and mark the run.

        Raises:
            NonFiniteLossError: The loss or the gradient norm is not finite.
            SaveError: A checkpoint could not be saved.
            OwnedError: Another start has taken the run over.
        """
        shown = self.rank_info.is_main
        self.guards.agreement.ask_all()
        bar = progress_bar("train", self.plan.last_step, unit=" steps", done=self.step, shown=shown)
        with bar, logging_redirect_tqdm() if sys.stderr.isatty() else nullcontext():
            self.select()  # what the last start was told to stop in
            while self.step < self.plan.last_step and not self.poll_stop():
                self.guards.profiler.before_step(self.step)
                batch = self.train_step()
                bar.update()

                if self.is_due(self.reporting.every_steps):
                    self.report_metrics(bar)
                self.run_periodic(batch)
                self.select()
                if self.due_to_save():
                    with self.clock.pause():
                        self.save()
                        # What came during the save is known before the next step.
                        self.guards.agreement.ask_all()

            if self.step < self.plan.last_step:
                self.stop_and_mark(bar)

    def poll_stop(self) -> bool:
        """Tell the watchdog that this rank moves, and whether all ranks stop before the plan is done; collective."""
        self.guards.watchdog.beat()
        stopping = self.guards.agreement.stopping(save=self.late_to_save())
        return stopping and self.step < self.plan.last_step

    def is_due(self, every_steps: int) -> bool:
        """Whether this is one of every `every_steps` steps, or the last one; 0 is never."""
        if every_steps == 0:
            return False
        return self.step % every_steps == 0 or self.step == self.plan.last_step

    def due_to_save(self) -> bool:
        """Whether all ranks save now: by steps, by minutes on rank 0's clock, the best weights, or at the end."""
        at_the_end = self.step == self.plan.last_step
        by_steps = self.is_due(self.checkpoint.every_steps or 0)
        is_best = self.selection.best == self.step
        return at_the_end or by_steps or is_best or self.guards.agreement.saving

    def late_to_save(self) -> bool:
        """Whether this rank is rank 0, and its last save is too many minutes ago."""
        minutes = self.checkpoint.every_minutes
        if minutes is None or not self.rank_info.is_main:
            return False
        return time.monotonic() - self.saved_at >= 60 * minutes

    def run_periodic(self, batch: ClipBatch) -> None:
        """Run what is due after this step, in evaluation mode, and report its values.

        Args:
            batch: The step's last micro-batch.
        """
        due = [task for task in self.periodic if self.is_due(task.every_steps)]
        if not due:
            return

        # A loss that is not finite is reported as such before anything evaluates the weights.
        self.steps.check_finite()
        context = StepContext(step=self.step, batch=batch, poll_stop=self.poll_stop)
        for task in due:
            with self.clock.pause(), evaluating(self.objective):
                values = task.run(context)
                if self.metrics and values:
                    self.metrics.write(self.step, values)

    def select(self) -> None:
        """Score the weights of this step, in evaluation mode, where that is due and not done yet."""
        if self.selection.knows(self.step) or not self.is_due(self.selection.every_steps):
            return

        self.steps.check_finite()
        with self.clock.pause(), evaluating(self.objective):
            values = self.selection.take(self.step, self.poll_stop)
            if self.metrics and values:
                self.metrics.write(self.step, values)

    def train_step(self) -> ClipBatch:
        """Consume one global batch: targets, forward and backward for each micro-batch, then one update.

        Returns:
            The last micro-batch.
        """
        lr = self.plan.lr(self.clips_seen)
        weight_decay = self.plan.weight_decay(self.clips_seen)

        for _ in range(self.plan.grad_accum_steps):
            with self.clock.host_part("data"):
                batch = replace(next(self.batches), step_draw=self.clips_seen)
            with self.clock.part("targets"), self.engine.autocast():
                targets = self.objective.targets(batch)
            with self.clock.part("forward"):
                output = self.engine(batch, targets)
            with self.clock.part("backward"):
                self.engine.backward(output.loss)
            # Updates the weights on the step's last micro-batch alone.
            with self.clock.part("optimizer"):
                self.engine.step(lr, weight_decay)

            values = {"loss/total": output.loss.detach(), **output.metrics}
            self.steps.add_micro_batch(batch, values)
            if self.audit:
                self.audit.write(self.step, batch)

        self.objective.after_optimizer_step()
        self.steps.end_step(self.step, self.engine.grad_norm())
        self.step += 1
        self.clips_seen += self.plan.global_batch_size
        return batch

    def report_metrics(self, bar: Any) -> None:
        """Check and report the steps since the last report."""
        # All ranks do this after the same step, and gather in the same order.
        num_steps = len(self.steps)
        values: dict[str, Value] = dict(self.steps.means())
        self.steps.clear()
        seconds, parts = self.clock.read()

        # Collectives, as in stage 3's forward pass, wait for the slowest rank: what each does alone tells which it is.
        alone = ("data", "targets") if self.engine.stage == 3 else ("data", "targets", "forward")
        clips_per_second = num_steps * self.plan.global_batch_size / seconds
        values["throughput/clips_per_second"] = clips_per_second
        values |= self.reporting.values(
            self.plan, self.clips_seen, seconds, parts, num_steps=num_steps, alone=alone
        )

        flops_per_clip = sum(self.objective.flops().values())
        flops_per_second = flops_per_clip * clips_per_second / self.rank_info.world_size
        values |= device_use(self.rank_info.device, flops_per_second) | self.engine.values()

        if self.metrics:
            self.metrics.write(self.step, values)
            shown = f"loss {values['loss/total']:.4f}, {clips_per_second:.1f} clips/s"
            bar.set_postfix_str(shown, refresh=False)

    def save(self) -> None:
        """Save a checkpoint, if the steps that led to it were finite and the run is still ours."""
        self.steps.check_finite()
        self.guards.watchdog.beat()
        from_main(self.guards.check_owner)

        root = self.run_dir / CHECKPOINTS
        state = self.state | self.selection.to_state() | self.engine.to_state()
        progress = Progress(step=self.step, clips_seen=self.clips_seen, state=state)
        saved = save_checkpoint(root, self.engine, progress, self.objective.averages())
        if self.rank_info.is_main:
            log.info("saved %s", saved)
            busy = self.mirror(saved, self.selection.best) if self.mirror else None
            prune(root, self.checkpoint, saved, keep=(self.selection.best, busy))

        self.last_saved = self.step
        self.saved_at = time.monotonic()

    def stop_and_mark(self, bar: Any) -> None:
        """Save what is not saved, and leave a mark that tells the next start why this one stopped."""
        if len(self.steps):
            self.report_metrics(bar)
        if self.last_saved < self.step:
            self.save()

        mark_stopped(self.guards.agreement, self.rank_info, self.run_dir, step=self.step)

    def close(self) -> None:
        """Close the run's files, and agree no more."""
        self.guards.agreement.close()
        if self.metrics:
            self.metrics.close()
        if self.audit:
            self.audit.close()
        self.guards.profiler.close()
