"""The test of a run that has learned a task: the chosen weights predict the test videos once, and that is kept."""

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo, broadcast, from_main
from surgstream.trainer.encoders.latency import measure_passes
from surgstream.trainer.engine.checkpoint import load_parameters
from surgstream.trainer.engine.checkpoint_files import damage
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.engine.periodic import evaluating
from surgstream.trainer.engine.preemption.stops import mark_stopped
from surgstream.trainer.errors import CheckpointError, EvaluationError
from surgstream.trainer.finetuning.learned import LearnedTask
from surgstream.trainer.finetuning.predicting import Predictor
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.predicting import keep_predictions
from surgstream.trainer.labelled.scoring import main_metric
from surgstream.trainer.lineage.verdict import LEAKS
from surgstream.trainer.networks import build_objective
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.supervised import Supervised
from surgstream.trainer.runs.costs import write_encoder_cost
from surgstream.trainer.runs.files import (
    CHECKPOINTS,
    checkpoint_name,
    predictions_file,
    tests_in,
)

log = logging.getLogger(__name__)

PollStop = Callable[[], bool]


def check_untested(run_dir: Path) -> None:
    """Make sure that a run that begins has no test of another in its directory: its own would never be asked.

    Raises:
        EvaluationError: It has.
    """
    if there := tests_in(run_dir):
        raise EvaluationError(
            f"{there[0]}: expected no predictions of the test where a run begins, got some; choose another run_dir"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FinalTest:
    """What a run tests, once it is done.

    Attributes:
        config: The recipe.
        task: Its task.
        step: The step of the weights that are tested.
        is_best: Whether they are the best on validation, or the last.
        leaks: What was found of the task's videos in what the weights began with, as JSON has it.
        rank_info: This rank's place.
    """

    config: TrainConfig
    task: LearnedTask
    step: int
    is_best: bool
    leaks: Mapping[str, Any]
    rank_info: RankInfo

    @property
    def stored(self) -> Path:
        """The file of the predictions."""
        return predictions_file(Path(self.config.run_dir), self.task.test.split)

    def run(self, poll_stop: PollStop) -> bool:
        """Predict the test videos and keep that, unless it was done before; collective.

        The validation videos are predicted by the same weights first, and kept beside them.

        Args:
            poll_stop: See `StepContext.poll_stop`.

        Returns:
            Whether it is done, rather than stopped.

        Raises:
            CheckpointError: The weights are not there any more.
            EvaluationError: Predictions do not fit the labels.
        """
        if from_main(self.stored.exists):
            log.info("%s is there: the test is not asked again", self.stored)
            return True

        objective = self._load()
        if self.rank_info.is_main:
            self._keep_cost(objective)
        about = self._about()
        for split in filter(None, (self.task.val, self.task.test)):
            value = self._predict(objective, split, about, poll_stop)
            if value is None:
                return False
            about |= {f"{split.split}_{self.task.config.main}": value}

        if self.rank_info.is_main:
            self._tell(about)
        return True

    def _load(self) -> Supervised:
        """The chosen weights on every rank, as rank 0 reads them."""
        config = self.config
        checkpoint = Path(config.run_dir) / CHECKPOINTS / checkpoint_name(self.step)

        def read(objective: Objective) -> None:
            found = damage(checkpoint)
            if found is not None:
                raise CheckpointError(
                    f"{checkpoint}: expected the weights to test, got no whole checkpoint: {found}"
                )
            load_parameters(checkpoint, objective)

        # Weights that others have are only to be predicted with, so there is nothing to compile.
        objective = build_objective(
            replace(config, compile=False),
            self.rank_info.device,
            lambda made: from_main(partial(read, made)),
        )
        assert isinstance(objective, Supervised)
        with torch.no_grad():
            broadcast(objective.parameters())
        return objective

    def _keep_cost(self, objective: Supervised) -> None:
        encoder = objective.config.encoder
        with evaluating(objective), self._autocast():
            cost = measure_passes(
                objective.scores,
                objective.encoder,
                encoder.num_frames,
                encoder.image_size,
                self.rank_info,
            )
        write_encoder_cost(Path(self.config.run_dir), cost)

    def _predict(
        self, objective: Supervised, split: SplitClips, about: dict[str, Any], poll_stop: PollStop
    ) -> float | None:
        """Predict a split and keep that; the task's main metric, or None when told to stop."""
        predictor = Predictor(self.config, split, self.rank_info)
        with evaluating(objective), self._autocast():
            collected = predictor.predict(objective.scores, poll_stop)
        if collected is None:
            return None
        predictions = collected.gather()

        def keep() -> float:
            value = main_metric(predictions[0], split, self.task.config)
            # As their maker tells it; the metric of this very split is for `surgstream evaluate` to say.
            keep_predictions(Path(self.config.run_dir), split.split, predictions[0], about)
            return value

        return from_main(keep)

    def _autocast(self) -> torch.autocast:
        """The precision of training."""
        device = self.rank_info.device.type
        in_bf16 = self.config.parallel.computes_in_bf16(on_gpu=device == "cuda")
        return torch.autocast(device, torch.bfloat16, enabled=in_bf16)

    def _about(self) -> dict[str, Any]:
        """What made the predictions."""
        config = self.config
        task = self.task.config
        return {
            "task": task.name,
            "task_version": task.version,
            "protocol": config.protocol,
            "weights": config.warm_start.weights if config.warm_start else "random",
            "seed": config.seed,
            "step": self.step,
            "chosen_by": "val" if self.is_best else "last",
            "view": config.clips.view,
            "segments": config.clips.segments,
            "clips": self.task.test.table.sha256,
            LEAKS: self.leaks,
        }

    def _tell(self, about: dict[str, Any]) -> None:
        """Log the numbers, and how to get all others."""
        config = self.config
        main = self.task.config.main
        for split in ("val", "test"):
            if (key := f"{split}_{main}") in about:
                log.info(
                    "%s of the weights of step %d: %s %.4f", split, self.step, main, about[key]
                )

        place = ["--labels", config.labels] if config.labels else ["--corpus", config.data.corpus]
        words = ["surgstream", "evaluate", str(config.task), str(self.stored), *place]
        log.info("for all metrics, with intervals: %s", shlex.join(words))


def test_chosen(config: TrainConfig, task: LearnedTask, trainer: Trainer) -> None:
    """Test the weights that a run has chosen, or leave a mark where it is asked to stop meanwhile; collective.

    Raises:
        SurgstreamError: See `FinalTest.run`.
    """
    guards = trainer.guards

    def poll_stop() -> bool:
        guards.watchdog.beat()
        return guards.agreement.stopping(save=False)

    best = trainer.selection.best
    step = trainer.step if best is None else best
    test = FinalTest(
        config=config,
        task=task,
        step=step,
        is_best=best is not None,
        leaks=trainer.state[LEAKS],
        rank_info=trainer.rank_info,
    )
    if not test.run(poll_stop):
        mark_stopped(guards.agreement, trainer.rank_info, trainer.run_dir, step=trainer.step)
