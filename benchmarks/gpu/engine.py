"""Training under every ZeRO stage on this device, and a checkpoint of one stage read at another."""

import math
import tempfile
from pathlib import Path

import torch

from surgstream.benchmarks.gpu.findings import DEVICE, ON_GPU, report
from surgstream.benchmarks.gpu.training import load_recipe, start, take_step, wrap
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.checkpoint import (
    load_averages,
    load_moments,
    load_parameters,
    save_checkpoint,
)
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.networks import noise_batch
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective

STAGES = {"surgvista_tiny": (1, 2, 3), "unisurg_tiny_stage1": (1, 2)}
"""Recipes and their stages; an objective with a moving average cannot be trained under stage 3."""

_NUM_STEPS = 12 if ON_GPU else 2
_LEARNING_RATE = 3e-4
_READER_SEED = 7


def main() -> None:
    """Take a few steps at each stage, and read what stage 1 saves at stage 2."""
    for recipe, stages in STAGES.items():
        for stage in stages:
            config = tiny(recipe, stage)
            objective, engine = start(config)
            losses = train(config, objective, engine)

            report(
                recipe=recipe,
                stage=stage,
                first_loss=round(losses[0], 5),
                last_loss=round(losses[-1], 5),
                finite=all(map(math.isfinite, losses)),
                falls=losses[-1] < losses[0],
                grad_norm=round(float(engine.grad_norm()), 5),
            )
            if stage == 1:
                report(recipe=recipe, read_at_stage_2=is_read_at_stage_2(recipe, objective, engine))


def tiny(recipe: str, stage: int, *words: str) -> TrainConfig:
    """A tiny recipe at a stage, not compiled."""
    size = [] if ON_GPU else ["global_batch_size=2", "micro_batch_size=2"]
    return load_recipe(recipe, [f"parallel.zero_stage={stage}", "compile=false", *size, *words])


def train(config: TrainConfig, objective: Objective, engine: ZeroEngine) -> list[float]:
    """Take some steps on two batches in turn; returns their losses."""
    torch.manual_seed(0)
    batches = [noise_batch(config, DEVICE, first) for first in (0, 100)]
    losses = []
    for step in range(_NUM_STEPS):
        loss = take_step(objective, engine, batches[step % 2], _LEARNING_RATE)
        losses.append(loss.item())
    return losses


def is_read_at_stage_2(recipe: str, objective: Objective, engine: ZeroEngine) -> bool:
    """Whether a new engine at stage 2 has the state of this one once it has read its checkpoint."""
    config = tiny(recipe, 2, f"seed={_READER_SEED}")
    reader = choice.build(config.objective, seed=config.seed)

    with tempfile.TemporaryDirectory() as folder:
        progress = Progress(step=_NUM_STEPS, clips_seen=0, state={})
        saved = save_checkpoint(Path(folder), engine, progress, objective.averages())
        load_parameters(saved, reader)
        load_averages(saved, reader.averages())
        reader_engine = wrap(config, reader.to(DEVICE))
        load_moments(saved, reader_engine)

    read = dict(reader_engine.full_state())
    for name, tensors in engine.full_state():
        for kind, tensor in tensors.items():
            if not torch.equal(tensor, read[name][kind]):
                return False
    return True


if __name__ == "__main__":
    main()
