"""The objective that a recipe names."""

from trainer.objectives import surgvista, videomae
from trainer.objectives.base import Objective
from trainer.objectives.config import ObjectiveConfig, SurgVistaConfig


def build(config: ObjectiveConfig, seed: int) -> Objective:
    """Make the objective of a run, with its initial weights, on the CPU; see `build` of its module."""
    if isinstance(config, SurgVistaConfig):
        return surgvista.build(config, seed)
    return videomae.build(config, seed)


def outline(config: ObjectiveConfig) -> Objective:
    """Make it on the meta device: shapes to count with, no values; see `outline` of its module."""
    if isinstance(config, SurgVistaConfig):
        return surgvista.outline(config)
    return videomae.outline(config)
