"""The objective that a recipe names: `name: videomae` is `trainer/objectives/videomae.py`."""

import importlib
from typing import Any

from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig


def build(config: ObjectiveConfig, seed: int) -> Objective:
    """Make the objective of a run, with its initial weights, on the CPU; see `build` of its module."""
    objective: Objective = _module(config).build(config, seed)
    return objective


def outline(config: ObjectiveConfig) -> Objective:
    """Make it on the meta device: shapes to count with, no values; see `outline` of its module."""
    objective: Objective = _module(config).outline(config)
    return objective


def _module(config: ObjectiveConfig) -> Any:
    return importlib.import_module(f"surgstream.trainer.objectives.{config.name}")
