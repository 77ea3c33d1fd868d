"""Floating point operations of learning a task, counted from shapes: what GPU-hours are reckoned from."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.evaluation.tasks.loading import find_task, label_space
from surgstream.trainer.labelled.config import VIEWS, TaskClipsConfig
from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.choice import build_on_meta
from surgstream.trainer.readouts.bank_config import AttentiveConfig, BankConfig, DenseDptConfig
from surgstream.trainer.readouts.banks.choosing import heads_of
from surgstream.trainer.readouts.banks.heads import AttentiveHeads
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.dense.heads import CopiedNetwork, DensePyramid
from surgstream.trainer.readouts.dense.targets import DenseTarget

Rows = Mapping[str, int]
"""Labelled rows of `train`, `val` and `test`."""


@dataclass(frozen=True)
class EncoderSizes:
    """What an encoder's share is reckoned from.

    Attributes:
        flops: Operations of a forward pass of one clip.
        grid: Tokens of a clip along each axis, which heads look at.
        embed_dim: Their width.
    """

    flops: int
    grid: Grid
    embed_dim: int


def recipe_flops(rows: Rows, recipe: ProbeRecipe) -> float:
    """Operations of a probe, whose encoder is read on the CPU.

    Raises:
        ModelError: It cannot be read.
    """
    encoder = load_frozen(recipe.weights, recipe.encoder, recipe.seed)
    sizes = EncoderSizes(encoder.flops(), encoder.grid, encoder.embed_dim)
    if isinstance(recipe.readout, BankConfig):
        return probe_flops(rows, recipe, sizes)
    return feature_flops(rows, sizes)


def probe_flops(rows: Rows, recipe: ProbeRecipe, encoder: EncoderSizes) -> float:
    """Operations of a bank; linear heads are next to nothing beside an encoder."""
    assert isinstance(recipe.readout, BankConfig)
    of_head = _head_flops(recipe, encoder)
    num_heads = len(heads_of(recipe.readout.grid))
    views = num_views(recipe.clips)
    trained = recipe.epochs * recipe.draws_per_epoch(rows["train"])
    validated = recipe.epochs / recipe.validate_every_epochs * rows["val"] * views
    tested = rows["test"] * views
    return (
        trained * (encoder.flops + 3 * num_heads * of_head)
        + validated * (encoder.flops + num_heads * of_head)
        + tested * (encoder.flops + (num_heads + 1) * of_head)
    )


def _head_flops(recipe: ProbeRecipe, encoder: EncoderSizes) -> int:
    """Operations of one attentive or DPT head's forward pass of one clip; 0 of others."""
    readout, width = recipe.readout, encoder.embed_dim
    if isinstance(readout, AttentiveConfig):
        with torch.device("meta"):
            head = AttentiveHeads(readout, width, 1)
        return head.flops(encoder.grid.num_tokens)

    if isinstance(readout, DenseDptConfig):
        target = DenseTarget(space=label_space(find_task(recipe.task)))
        with torch.device("meta"):
            pyramid = DensePyramid(width, target.num_outputs, readout.layer_widths, readout.width)
        copied = CopiedNetwork(pyramid, (4, 1, width, encoder.grid.rows, encoder.grid.columns))
        return copied.flops(encoder.grid.num_tokens)
    return 0


def feature_flops(rows: Rows, encoder: EncoderSizes) -> float:
    """Operations of the features of all rows; readouts of them are next to nothing."""
    return (rows["train"] + rows["val"] + rows["test"]) * encoder.flops


def num_views(clips: TaskClipsConfig) -> int:
    """How often a clip is seen when it is judged."""
    return len(VIEWS[clips.view]) * clips.segments


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
