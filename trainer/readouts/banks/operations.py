"""Floating point operations of a probe, counted from shapes: what GPU-hours are reckoned from."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.labelled.config import VIEWS, TaskClipsConfig
from surgstream.trainer.readouts.banks.choosing import heads_of
from surgstream.trainer.readouts.banks.heads import AttentiveHeads
from surgstream.trainer.readouts.config import AttentiveConfig, LinearConfig, ProbeRecipe

Rows = Mapping[str, int]
"""Labelled rows of `train`, `val` and `test`."""


@dataclass(frozen=True)
class EncoderSizes:
    """What an encoder's share is reckoned from.

    Attributes:
        flops: Operations of a forward pass of one clip.
        num_tokens: Tokens of a clip, which attentive heads look at.
        embed_dim: Their width.
    """

    flops: int
    num_tokens: int
    embed_dim: int


def recipe_flops(rows: Rows, recipe: ProbeRecipe) -> float:
    """Operations of a probe, whose encoder is read on the CPU.

    Raises:
        ModelError: It cannot be read.
    """
    encoder = load_frozen(recipe.weights, recipe.encoder, recipe.seed)
    sizes = EncoderSizes(encoder.flops(), encoder.grid.num_tokens, encoder.embed_dim)
    if isinstance(recipe.readout, AttentiveConfig | LinearConfig):
        return probe_flops(rows, recipe, sizes)
    return feature_flops(rows, sizes)


def probe_flops(rows: Rows, recipe: ProbeRecipe, encoder: EncoderSizes) -> float:
    """Operations of a bank of heads; those of linear heads are next to nothing, and not counted."""
    of_head, num_heads = 0, 0
    if isinstance(recipe.readout, AttentiveConfig):
        with torch.device("meta"):
            head = AttentiveHeads(recipe.readout, encoder.embed_dim, 1)
        of_head = head.flops(encoder.num_tokens)
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


def feature_flops(rows: Rows, encoder: EncoderSizes) -> float:
    """Operations of the features of all rows; readouts of them are next to nothing."""
    return (rows["train"] + rows["val"] + rows["test"]) * encoder.flops


def num_views(clips: TaskClipsConfig) -> int:
    """How often a clip is seen when it is judged."""
    return len(VIEWS[clips.view]) * clips.segments
