"""Floating point operations of a fine-tuning, counted from shapes."""

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.objectives.choice import build_on_meta
from surgstream.trainer.readouts.banks.operations import Rows, num_views


def finetuning_flops(rows: Rows, config: TrainConfig) -> float:
    """Operations of fine-tuning on a task, validation and test included.

    Args:
        rows: The task's labelled rows.
        config: The recipe.
    """
    objective = build_on_meta(config.objective)
    of_training = sum(objective.flops().values())
    of_forward = objective.encoder.flops(objective.num_tokens, backward=False)

    trained = config.epochs * (config.clips_per_epoch or rows["train"])
    validations = config.epochs / config.select.every_epochs
    judged = (validations + 1) * rows["val"] + rows["test"]
    return trained * of_training + judged * num_views(config.clips) * of_forward
