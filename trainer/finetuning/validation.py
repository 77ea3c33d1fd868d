"""Validation of the weights that learn a task, and the choice of the best."""

import logging
import math
from collections.abc import Callable

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.engine.selection import Measured, Selection
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.finetuning.learned import LearnedTask
from surgstream.trainer.finetuning.predicting import Predictor
from surgstream.trainer.labelled.scoring import main_metric
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.supervised import Supervised

log = logging.getLogger(__name__)


def selection_of(
    config: TrainConfig,
    task: LearnedTask | None,
    engine: ZeroEngine,
    objective: Objective,
    rank_info: RankInfo,
    plan: TrainingPlan,
    progress: Progress,
) -> Selection | None:
    """The choice of the best weights by the task's main metric on its validation videos; None where it has none.

    Args:
        config: The recipe.
        task: Its task, if it has one.
        engine: The objective under ZeRO.
        objective: The objective itself, which predicts.
        rank_info: This rank's place.
        plan: The run in numbers.
        progress: Where it stands.
    """
    if task is None:
        return None
    if task.val is None:
        if rank_info.is_main:
            log.info("%s has no validation videos: the last weights are tested", task.config.name)
        return None

    assert isinstance(objective, Supervised)
    score = objective.scores
    predictor = Predictor(config, task.val, rank_info)
    metric = task.config.main
    sign = 1.0 if find_metric(metric).higher_is_better else -1.0

    def measure(poll_stop: Callable[[], bool]) -> Measured | None:
        with engine.autocast():
            collected = predictor.predict(score, poll_stop)
        if collected is None:
            return None

        predictions = collected.gather()
        value = from_main(lambda: main_metric(predictions[0], predictor.split, task.config))
        # What is undefined is not drawn as a curve.
        values = {f"val/{metric}": value} if math.isfinite(value) else {}
        return Measured(values, sign * value)

    draws = config.select.every_epochs * plan.draws_per_epoch
    every_steps = max(1, round(draws / plan.global_batch_size))
    return Selection(every_steps, measure, progress, keeps_best=config.select.by == "best")
