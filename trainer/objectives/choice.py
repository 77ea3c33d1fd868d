"""The objective that a recipe names: `name: videomae` is `trainer/objectives/videomae.py`, by its function `make`."""

import importlib
from typing import Any

import torch

from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig


def build(config: ObjectiveConfig, seed: int) -> Objective:
    """Make the objective of a run, with its initial weights and those of its teacher, on the CPU.

    Args:
        config: Its numbers.
        seed: Decides initial weights, masks and drop paths; the global generators are left as they were.

    Returns:
        The same weights for the same config and seed.

    Raises:
        ModelError: A teacher's weights are missing or do not fit.
    """
    # Modules draw default weights when they are made, from the global generator.
    with torch.random.fork_rng(devices=[]):
        objective: Objective = _module(config).make(config, seed, with_weights=True)
    objective.init_weights(torch.Generator().manual_seed(seed))
    return objective


def build_on_meta(config: ObjectiveConfig) -> Objective:
    """Make it on the meta device: shapes to count with, no values, and no file of weights needed.

    Raises:
        ModelError: timm has no such teacher, or it does not fit the student.
    """
    with torch.device("meta"):
        objective: Objective = _module(config).make(config, seed=0, with_weights=False)
    return objective


def _module(config: ObjectiveConfig) -> Any:
    return importlib.import_module(f"surgstream.trainer.objectives.{config.name}")
