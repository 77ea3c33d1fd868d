"""Training a bank of heads on what a frozen encoder sees: steps, validations, saves, and one test at the end."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from surgstream.shards.progress import progress_bar
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.distributed import all_gather, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.engine.audit import AuditLog
from surgstream.trainer.engine.loop import Guards
from surgstream.trainer.host.names import node_name
from surgstream.trainer.readouts.banks.choosing import Validation, choose
from surgstream.trainer.readouts.banks.judging import Judge, Predicted
from surgstream.trainer.readouts.banks.parts import Parts, Standing
from surgstream.trainer.readouts.banks.reporting import BankReports
from surgstream.trainer.readouts.banks.results import keep_grid
from surgstream.trainer.readouts.banks.state import KeptHead, save_state
from surgstream.trainer.readouts.dense.scales import to_size_of
from surgstream.trainer.runs.files import CHECKPOINTS, REQUEUE, write_mark

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """Where the training clips come from.

    Attributes:
        batches: This rank's micro-batches, from the draws on at which the run stands.
        watch: Returns values to report of them, given the draws done; all ranks call it together.
    """

    batches: Iterator[ClipBatch]
    watch: Callable[[int], dict[str, Any]]


class BankTrainer:
    """Takes steps until the plan is done or the run is asked to stop; validates, reports and saves on the way.

    Args:
        parts: What the run is made of.
        standing: Where it stands; goes on from there.
        feed: The training clips.
        guards: The guards of the run.
    """

    def __init__(self, parts: Parts, standing: Standing, feed: Feed, guards: Guards) -> None:
        self.parts = parts
        self.standing = standing
        self.feed = feed
        self.guards = guards

        self.reports = BankReports(parts, standing, feed.watch)
        self.audit: AuditLog | None = None
        if parts.recipe.data.audit_log:
            self.audit = AuditLog(parts.run_dir, parts.rank_info.rank)

        self._saved_at = time.monotonic()
        self._saved = (standing.step, len(standing.history))
        # (H,) whether all scores of a head have been finite in this pass
        self._sound = torch.ones_like(standing.alive)

    def train(self) -> bool:
        """Train to the plan's last step, with a validation and a save there.

        Returns:
            Whether all is done; otherwise the run was asked to stop, has saved, and bears a mark.

        Raises:
            NonFiniteLossError: All heads have diverged.
            SaveError: The state could not be saved.
            OwnedError: Another start has taken the run over.
        """
        last_step = self.parts.plan.last_step
        shown = self.parts.rank_info.is_main
        self.guards.agreement.ask_all()
        bar = progress_bar("probe", last_step, unit=" steps", done=self.standing.step, shown=shown)
        with bar, logging_redirect_tqdm() if sys.stderr.isatty() else nullcontext():
            stopped = not self._validate_if_due()
            while not stopped and self.standing.step < last_step:
                if self.poll_stop():
                    stopped = True
                    break
                self._train_step()
                bar.update()
                if self._is_due(self.parts.recipe.report_every_steps):
                    self.reports.report()
                stopped = not self._validate_if_due()
                if self.guards.agreement.saving and not stopped:
                    self.save()
                    self.guards.agreement.ask_all()

        self.save()
        if stopped:
            self.mark()
        return not stopped

    def poll_stop(self) -> bool:
        """Tell the watchdog that this rank moves, and whether all ranks stop; collective."""
        self.guards.watchdog.beat()
        late = time.monotonic() - self._saved_at >= 60 * self.parts.recipe.save_every_minutes
        return self.guards.agreement.stopping(save=late and self.parts.rank_info.is_main)

    def encode(self, clips: Tensor) -> Tensor:
        """From clips to what the inputs take, without gradients."""
        return self._encode(self.parts.encoder, clips)

    def scores(self, encoded: Tensor) -> Tensor:
        """From that to the scores (H, B, C) of all heads; 0 where they are not finite, which is noted."""
        parts = self.parts
        inputs = parts.inputs.of_judged(encoded, parts.inputs.statistics)
        with parts.autocast():
            logits = parts.bank.logits(inputs)

        scores = parts.target.scores(logits)
        finite = scores.isfinite()
        self._sound &= finite.flatten(1).all(1)
        return torch.where(finite, scores, 0.0)

    def predict(
        self, judge: Judge, models: Sequence[Callable[[Tensor], Tensor]]
    ) -> list[Predicted] | None:
        """Predict a split, see `Judge.predict`; heads whose scores are not finite are dropped on all ranks."""
        self._sound = torch.ones_like(self.standing.alive)
        predictions = judge.predict(self.encode, models, self.poll_stop)
        if predictions is not None:
            sound = self._sound.to(torch.uint8)
            dist.all_reduce(sound, dist.ReduceOp.MIN)
            self.standing.drop(sound.bool())
        return predictions

    def _is_due(self, every_steps: int) -> bool:
        step = self.standing.step
        return step % every_steps == 0 or step == self.parts.plan.last_step

    def _train_step(self) -> None:
        """Consume one global batch: the encoder once, all heads, one sum over ranks, one update."""
        parts, standing = self.parts, self.standing
        recipe = parts.recipe
        parts.bank.clear()
        for inputs, labels in parts.inputs.of_step(self._encoded()):
            losses_of = parts.target.losses_for(labels, len(labels) / recipe.global_batch_size)
            with self.reports.clock.part("heads"), parts.autocast():
                parts.bank.backward(inputs, losses_of)

        with self.reports.clock.part("optimizer"):
            dist.all_reduce(parts.bank.gradients.flat)
            standing.drop(parts.bank.gradients.finite())
            parts.optimizer.step(parts.plan.lr(standing.clips_seen), standing.alive)

        self.reports.add_losses(parts.bank.losses)
        standing.step += 1
        standing.clips_seen += recipe.global_batch_size

    def _encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        with torch.no_grad(), self.parts.autocast():
            return self.parts.inputs.encode(encoder, clips)

    def _encoded(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's micro-batches of a step, encoded, all at the size that the step draws."""
        encoder = self.parts.scales.of_step(self.standing.step)
        for _ in range(self.parts.plan.grad_accum_steps):
            with self.reports.clock.host_part("data"):
                batch = next(self.feed.batches)
            with self.reports.clock.part("encoder"):
                encoded = self._encode(encoder, to_size_of(encoder, batch.clips))
            if self.audit:
                self.audit.write(self.standing.step, batch)
            assert batch.labels is not None
            yield encoded, batch.labels

    def _validate_if_due(self) -> bool:
        """Validate where it is due and not done; False when told to stop on the way. Collective."""
        parts, standing = self.parts, self.standing
        is_done = bool(standing.history) and standing.history[-1].step == standing.step
        if standing.step == 0 or is_done or not self._is_due(parts.validate_every_steps):
            return True

        with self.reports.clock.pause():
            if parts.val is None:
                # Nothing to choose by: the one head that there is, at the end
                self._keep_if_best(standing.step == parts.plan.last_step, 0)
                return True

            predictions = self.predict(parts.val, [self.scores])
            if predictions is None:
                return False
            self.reports.tell_dropped()
            found = parts.val.score(predictions, standing.alive.tolist())
            self._take(found, predictions)
        return True

    def _take(self, found: list[float | None], predictions: list[Predicted]) -> None:
        """Note the scores of a validation, and keep the best head where it is one of these."""
        parts, standing = self.parts, self.standing
        epoch = standing.clips_seen / parts.plan.draws_per_epoch
        standing.history.append(Validation(standing.step, epoch, tuple(found)))

        choice = choose(
            standing.history, parts.heads, higher_is_better=parts.metric.higher_is_better
        )
        is_new = choice is not None and choice.validation == len(standing.history) - 1
        self._keep_if_best(is_new, choice.head if choice else 0)
        if not parts.rank_info.is_main:
            return

        keep_grid(parts, standing)
        scores = [score for score in found if score is not None]
        if choice is None or not scores:
            log.warning("step %d: %s is undefined for all heads", standing.step, parts.task.main)
            return
        best = max(scores) if parts.metric.higher_is_better else min(scores)
        self.reports.write({f"val/{parts.task.main}": best})
        if is_new:
            about = {"split": "val", **parts.about(standing, choice.head)}
            assert parts.val
            parts.val.keep(parts.run_dir, "val", predictions[choice.head], about)

    def _keep_if_best(self, is_best: bool, head: int) -> None:
        if is_best:
            self.standing.kept = KeptHead(
                self.parts.bank.weights.of_head(head),
                {name: value.clone() for name, value in self.parts.inputs.statistics.items()},
            )

    def save(self) -> None:
        """Save what is not saved, if the run is still ours; collective."""
        now = (self.standing.step, len(self.standing.history))
        if now == self._saved:
            return
        self.reports.tell_dropped()
        self.guards.watchdog.beat()
        from_main(self._save)
        self._saved = now
        self._saved_at = time.monotonic()

    def _save(self) -> None:
        self.guards.check_owner()
        parts, standing = self.parts, self.standing
        saved = save_state(
            parts.run_dir / CHECKPOINTS,
            standing.step,
            standing.clips_seen,
            {**parts.entries, **standing.entries()},
            standing.tensors(parts),
        )
        log.info("saved %s", saved)

    def mark(self) -> None:
        """Leave a mark that tells the next start why this one stopped; collective."""
        signal_name, rank = self.guards.agreement.cause
        hosts = all_gather(node_name())
        if self.parts.rank_info.is_main:
            where = f"state of step {self.standing.step}"
            why = f"{signal_name} on rank {rank} ({hosts[rank]}); {where}"
            write_mark(self.parts.run_dir, REQUEUE, why)
            log.info("stopped: %s", why)

    def close(self) -> None:
        """Close the run's files, and agree no more."""
        self.guards.agreement.close()
        self.reports.close()
        if self.audit:
            self.audit.close()
        self.guards.profiler.close()
