"""The training loop."""

import json
import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from surgstream.configs.files import naming
from surgstream.shards.progress import progress_bar
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.distributed import Topology, all_gather, from_main
from surgstream.trainer.engine.checkpoint import prune, save_checkpoint
from surgstream.trainer.engine.config import CheckpointConfig, ReportConfig
from surgstream.trainer.engine.metrics import MetricsWriter, StepClock, Value, peak_flops, slowest
from surgstream.trainer.engine.periodic import Evaluation, Measure, Observer
from surgstream.trainer.engine.preemption import Agreement
from surgstream.trainer.engine.profile import Profiler
from surgstream.trainer.engine.schedules import Plan, Progress
from surgstream.trainer.engine.step_log import StepLog
from surgstream.trainer.engine.watchdog import Watchdog
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.runs.files import AUDIT, CHECKPOINTS, REQUEUE, write_mark

log = logging.getLogger(__name__)


class Trainer:
    """Takes steps until the plan is done or somebody asks to stop, and reports, evaluates and saves on the way."""

    def __init__(
        self,
        engine: ZeroEngine,
        objective: Objective,
        batches: Iterator[ClipBatch],
        *,
        plan: Plan,
        progress: Progress,
        topology: Topology,
        run_dir: Path,
        report: ReportConfig,
        checkpoint: CheckpointConfig,
        evaluation: Evaluation | None,
        measures: Sequence[Measure],
        audit_log: bool,
        watch: Callable[[int], Mapping[str, Value]],
        agreement: Agreement,
        watchdog: Watchdog,
        profiler: Profiler,
        check_owner: Callable[[], None],
    ) -> None:
        """Take over a run at `progress`.

        Args:
            engine: The objective under ZeRO.
            objective: The objective itself, for its targets and pictures.
            batches: This rank's micro-batches from draw `progress.g` on.
            plan: The run in numbers.
            progress: Where the run stands; its state goes into every checkpoint.
            topology: This rank's place.
            run_dir: Where everything is written.
            report: What is reported how often.
            checkpoint: What is saved how often.
            evaluation: Held-out batches, and how often the loss on them is taken.
            measures: What else to report of the weights.
            audit_log: Whether to write which step consumed which clip.
            watch: What else to report after so many draws; all ranks call it together.
            agreement: Whether somebody asks to stop.
            watchdog: What is told that this rank moves.
            profiler: What traces steps when somebody asks for it.
            check_owner: Raises if somebody else has taken the run over; rank 0 calls it before each save.
        """
        self.engine, self.objective, self.batches, self.plan = engine, objective, batches, plan
        self.step, self.g, self.state = progress.step, progress.g, progress.state
        self.topology, self.run_dir, self.report, self.checkpoint = (
            topology,
            run_dir,
            report,
            checkpoint,
        )
        self.evaluation, self.measures, self.watch = evaluation, measures, watch
        self.agreement, self.watchdog, self.profiler = agreement, watchdog, profiler
        self.check_owner, self.last_saved, self.saved_at = check_owner, self.step, time.monotonic()

        self.metrics = MetricsWriter(run_dir, step=self.step) if topology.is_main else None
        self.observer = Observer(
            engine, objective, topology=topology, run_dir=run_dir, metrics=self.metrics
        )
        self.clock = StepClock(topology.device)
        self.steps = StepLog(topology, run_dir)
        self.audit = (
            (run_dir / AUDIT / f"rank{topology.rank:05d}.jsonl").open("a") if audit_log else None
        )

    def train(self) -> None:
        """Train to the plan's last step, or to where all ranks are asked to stop; then save, and mark the run.

        Raises:
            NonFiniteLossError: The loss or the gradient norm is not finite.
            SaveError: A checkpoint could not be saved.
            OwnedError: Another start has taken the run over.
        """
        shown = self.topology.is_main
        bar = progress_bar("train", self.plan.last_step, unit=" steps", done=self.step, shown=shown)
        with bar, logging_redirect_tqdm() if sys.stderr.isatty() else nullcontext():
            while self.step < self.plan.last_step and not self.stopping():
                self.profiler.before_step(self.step)
                self.train_step()
                bar.update()

                if self.due(self.report.every_steps):
                    self.report_metrics(bar)

                looks = [look for every_steps, look in self.looks() if self.due(every_steps)]
                # So that a loss that is not finite is named as such, not by what looks at weights.
                if looks:
                    self.check_finite()
                for look in looks:
                    with self.clock.pause():
                        look()

                if self.due_to_save():
                    with self.clock.pause():
                        self.save()
                        self.stopping()  # asked again before the next step, it will know what came during the save

            if self.step < self.plan.last_step:
                self.make_way(bar)

    def stopping(self) -> bool:
        """Tell the watchdog that this rank moves, and whether all ranks stop before the plan is done."""
        self.watchdog.beat()
        return self.agreement.stopping(save=self.late_to_save()) and self.step < self.plan.last_step

    def due(self, every_steps: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens now."""
        return every_steps > 0 and (
            self.step % every_steps == 0 or self.step == self.plan.last_step
        )

    def due_to_save(self) -> bool:
        """Whether all ranks save now: after so many steps, after so many minutes by rank 0's clock, and at the end."""
        at_the_end = self.step == self.plan.last_step
        return at_the_end or self.due(self.checkpoint.every_steps or 0) or self.agreement.saving

    def late_to_save(self) -> bool:
        """Whether this rank, if it is rank 0, finds that its last save is too many minutes ago."""
        minutes = self.checkpoint.every_minutes
        return (
            self.topology.is_main
            and minutes is not None
            and time.monotonic() - self.saved_at >= 60 * minutes
        )

    def looks(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """What is looked at between steps, and every how many steps."""
        step, observer = self.step, self.observer
        if self.evaluation:
            yield (
                self.evaluation.every_steps,
                partial(observer.evaluate, step, self.evaluation, self.stopping),
            )
        for measure in self.measures:
            yield measure.every_steps, partial(observer.measure, step, measure, self.stopping)
        yield (
            self.report.collapse_every_steps,
            partial(observer.look_for_collapse, step, self.batch),
        )
        yield (
            self.report.pictures_every_steps,
            partial(observer.draw, step, self.batch, self.evaluation),
        )

    def train_step(self) -> None:
        """Consume one global batch: targets, forward and backward for each micro-batch, then one update."""
        lr = self.plan.lr(self.g)

        for _ in range(self.plan.grad_accum_steps):
            with self.clock.host_part("data"):
                batch = replace(next(self.batches), step_g=self.g)
            with self.clock.part("targets"), self.engine.autocast():
                targets = self.objective.targets(batch)
            with self.clock.part("forward"):
                output = self.engine(batch, targets)
            with self.clock.part("backward"):
                self.engine.backward(output.loss)
            # Updates the weights on the step's last micro-batch alone.
            with self.clock.part("optimizer"):
                self.engine.step(lr)
            self.steps.add_micro_batch(
                batch, {"loss/total": output.loss.detach(), **output.metrics}
            )
            self.write_audit(batch)

        self.objective.after_optimizer_step()
        self.steps.end_step(self.step, self.engine.grad_norm())
        self.batch = batch  # what is looked at between steps
        self.step += 1
        self.g += self.plan.global_batch_size

    def report_metrics(self, bar: Any) -> None:
        """Check and report the steps since the last report."""
        # All ranks do this after the same step, and gather in the same order.
        steps = len(self.steps)
        values: dict[str, Value] = dict(self.steps.means())
        self.steps.clear()
        seconds, parts = self.clock.read()

        # In collectives all wait for the slowest rank: what each does alone tells which it is.
        alone = (
            ("data", "targets", "forward") if self.engine.stage < 3 else ("data", "targets")
        )  # without collectives
        seconds_by_rank = all_gather((sum(parts[name] for name in alone), platform.node()))
        clips_per_second = steps * self.plan.global_batch_size / seconds

        values |= {
            # The rate of the step just done, which began so many draws ago.
            "optim/lr": self.plan.lr(self.g - self.plan.global_batch_size),
            "progress/clips": self.g,
            "progress/last_step": self.plan.last_step,
            "progress/epoch": self.g / self.plan.draws_per_epoch,
            "throughput/clips_per_second": clips_per_second,
            "data/wait_seconds": parts.pop("data") / steps,
            "time/step_seconds": seconds / steps,
            **{f"time/{name}_seconds": value / steps for name, value in parts.items()},
        }
        values |= slowest(seconds_by_rank)
        values |= self.watch(self.g)

        device = self.topology.device
        if peak := peak_flops(device):
            flops = (
                sum(self.objective.flops().values()) * clips_per_second / self.topology.world_size
            )
            values["model/mfu"] = flops / peak
        if device.type == "cuda":
            values["memory/gpu_gib"] = torch.cuda.max_memory_allocated(device) / 2**30

        if self.metrics:
            self.metrics.write(self.step, values)
            bar.set_postfix_str(
                f"loss {values['loss/total']:.4f}, {clips_per_second:.1f} clips/s", refresh=False
            )

    def check_finite(self) -> None:
        """Make sure that the steps since the last report were finite."""
        if len(self.steps):
            self.steps.means()

    def save(self) -> None:
        """Save a checkpoint, if the steps that led to it were finite and the run is still ours."""
        self.check_finite()
        self.watchdog.beat()
        from_main(self.check_owner)
        root = self.run_dir / CHECKPOINTS
        progress = Progress(step=self.step, g=self.g, state=self.state)
        saved = save_checkpoint(root, self.engine, progress, self.objective.averages())
        if self.topology.is_main:
            prune(root, self.checkpoint, saved)
            log.info("saved %s", saved)
        self.last_saved, self.saved_at = self.step, time.monotonic()

    def make_way(self, bar: Any) -> None:
        """Save what is not saved, and leave the mark that says so to whoever starts the run again."""
        if len(self.steps):
            self.report_metrics(bar)
        if self.last_saved < self.step:
            self.save()
        signal_name, rank = self.agreement.cause
        hosts = all_gather(platform.node())
        if self.topology.is_main:
            where = f"checkpoint of step {self.step}" if self.step else "no step was done"
            why = f"{signal_name} on rank {rank} ({hosts[rank]}); {where}"
            write_mark(self.run_dir, REQUEUE, why)
            log.info("stopped: %s", why)

    def write_audit(self, batch: ClipBatch) -> None:
        """Log which step and rank consumed which clip."""
        if self.audit is None:
            return
        with naming(self.audit.name):
            for g, name in zip(batch.g.tolist(), batch.names, strict=True):
                entry = {"g": g, "step": self.step, "rank": self.topology.rank, **name._asdict()}
                if name.planned is None:
                    del entry["planned"]
                self.audit.write(json.dumps(entry) + "\n")
            self.audit.flush()

    def close(self) -> None:
        """Close the run's files."""
        if self.metrics:
            self.metrics.close()
        if self.audit:
            self.audit.close()
        self.profiler.close()
