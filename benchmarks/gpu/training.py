"""A recipe's objective and engine on clips of noise, made without DALI and without a corpus."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from surgstream.configs.loading import load
from surgstream.configs.presets import Preset
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.joining import join
from surgstream.trainer.networks import build_objective
from surgstream.trainer.objectives.base import Objective, ObjectiveOutput

_JOIN_SECONDS = 600


def load_recipe(name: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Load a recipe for one process, with no corpus and no earlier weights.

    Args:
        name: A file, or the name of one in `configs/pretrain`.
        overrides: Words `key=value` that replace the recipe's values.
    """
    words = ["held_out=null", "probe=null", "warm_start=null", "data.corpus=none"]
    words.append(f"run_dir={Path(tempfile.gettempdir()) / 'surgstream_gpu'}")
    return load(TrainConfig, Preset("pretrain")(name), [*words, *overrides])


def start(config: TrainConfig) -> tuple[Objective, ZeroEngine]:
    """Build the objective, compiled where the recipe says so, and its engine on this process's device."""
    rank_info = RankInfo()
    if not torch.distributed.is_initialized():
        join(rank_info, _JOIN_SECONDS)

    objective = build_objective(config, rank_info.device)
    return objective, wrap(config, objective)


def wrap(config: TrainConfig, objective: Objective) -> ZeroEngine:
    """The recipe's engine around an objective, without accumulation."""
    return ZeroEngine(
        objective,
        config.optim,
        config.parallel,
        micro_batch_size=config.micro_batch_size,
        grad_accum_steps=1,
        device=RankInfo().device,
    )


def take_step(
    objective: Objective, engine: ZeroEngine, batch: ClipBatch, lr: float = 0.0
) -> torch.Tensor:
    """Take a training step; returns the loss, on the device."""
    with engine.autocast():
        targets = objective.targets(batch)
    output: ObjectiveOutput = engine(batch, targets)
    engine.backward(output.loss)
    engine.step(lr)
    objective.after_optimizer_step()
    return output.loss.detach()
