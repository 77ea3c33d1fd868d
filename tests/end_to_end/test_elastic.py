"""Runs that are killed and go on with another number of ranks, another batch or other weights."""

from pathlib import Path
from typing import Any

from surgstream.shards.order.sequence import Order
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.schedules import Progress
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import (
    audit,
    close,
    fail,
    interrupt,
    losses,
    metrics,
    newest,
    planned,
    reported,
    train,
)

KEPT = ("checkpoint.every_steps=1", "checkpoint.keep_last=100", "max_steps=50")
BATCH_12 = ("global_batch_size=12", "micro_batch_size=2")
BATCH_24 = ("global_batch_size=24", "micro_batch_size=4")
BALANCED = ("data.order.weights=balanced", "resume.allow=[weights]")
UNIFORM_AGAIN = ("data.order.weights=uniform", "resume.allow=[weights]")


class Run:
    """A run of many parts, which knows what it must have consumed, and what it must have learned.

    Attributes:
        plan: What `surgstream order` says of all parts so far, up to their last checkpoints.
    """

    def __init__(self, corpora: Corpora, run_dir: Path) -> None:
        self.plan = list[dict[str, Any]]()
        self._corpora, self._run_dir = corpora, run_dir
        self._parts = list[tuple[int, tuple[str, ...]]]()

    @property
    def progress(self) -> Progress:
        checkpoint = newest(self._run_dir)
        return read_progress(checkpoint) if checkpoint else Progress(step=0, clips_seen=0, state={})

    def killed(self, world_size: int, *overrides: str) -> None:
        """Go on with another number of ranks or other settings, and be killed after three steps or more."""
        begin, before = newest(self._run_dir), self.progress

        def done() -> bool:
            return self.progress.step >= before.step + 3

        interrupt(self._corpora, self._run_dir, world_size, done, *KEPT, *overrides)
        self._note(begin, before, world_size, overrides)

    def finished(self, world_size: int, *overrides: str) -> None:
        """Go on for three steps; all that was consumed and learned must then be as in a run without kills."""
        begin, before = newest(self._run_dir), self.progress
        train(
            self._corpora,
            self._run_dir,
            world_size,
            *KEPT,
            f"max_steps={before.step + 3}",
            *overrides,
        )
        self._note(begin, before, world_size, overrides)
        assert audit(self._run_dir) == self.plan
        calm = self._run_dir.with_name("calm")
        for step, settings in self._parts:
            train(self._corpora, calm, 1, f"max_steps={step}", *settings)
        close(losses(metrics(self._run_dir)), losses(metrics(calm)))

    def _note(
        self, begin: Path | None, before: Progress, world_size: int, overrides: tuple[str, ...]
    ) -> None:
        count = self.progress.clips_seen - before.clips_seen
        self.plan += planned(
            self._corpora, self._run_dir, count, world_size, *overrides, checkpoint=begin
        )
        self._parts.append((self.progress.step, overrides))


def test_any_number_of_ranks_that_divides_the_batch(corpora: Corpora, tmp_path: Path) -> None:
    run = Run(corpora, tmp_path / "run")
    run.killed(3, *BATCH_12)
    run.killed(1, *BATCH_12)
    message = fail(corpora, tmp_path / "run", 4, *BATCH_12).strip().splitlines()[-1]
    assert "= 2 x 4 = 8, got 12; use 1, 2, 3, 6 ranks or micro_batch_size 1" in message
    run.finished(2, *BATCH_12)


def test_another_global_batch(corpora: Corpora, tmp_path: Path) -> None:
    run = Run(corpora, tmp_path / "run")
    run.killed(2)
    run.killed(3, *BATCH_24)
    run.finished(1)
    assert [entry["g"] for entry in run.plan] == list(range(run.progress.clips_seen))
    for line in metrics(tmp_path / "run"):
        assert line["progress/epoch"] == line["progress/clips"] / 128, (
            "an epoch is as long as before"
        )


def test_other_weights(corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run = Run(corpora, run_dir)
    run.killed(2)
    changes = [0, run.progress.clips_seen]
    # Killed before it could save, a change leaves no trace.
    interrupt(
        corpora,
        run_dir,
        1,
        reported(run_dir, run.progress.step + 2),
        *BALANCED,
        "checkpoint.every_steps=1000",
    )
    run.killed(1, *BALANCED)
    run.killed(2, *BALANCED)
    changes.append(run.progress.clips_seen)
    run.finished(1, *UNIFORM_AGAIN)
    segments = Order.from_json(run.progress.state["order"]).revisions
    assert [segment.start for segment in segments] == changes
    assert [segment.weights for segment in segments] == ["uniform", "balanced", "uniform"]
    assert [entry["g"] for entry in run.plan] == list(range(run.progress.clips_seen))
