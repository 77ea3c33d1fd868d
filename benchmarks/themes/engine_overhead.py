"""The cost of the engine: the same steps in a bare loop, under the engine, and in the real loop with all it writes."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from surgstream.benchmarks.support.harness import Case, join_once
from surgstream.benchmarks.support.training import (
    load_recipe,
    make_plan,
    make_trainer,
    precision,
    resident_batches,
)
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.parameter_groups import parameter_groups
from surgstream.trainer.networks import build_engine, build_objective

NUM_STEPS = 100


def cases(folder: Path, recipe: Sequence[str]) -> list[Case]:
    """A hundred steps each, of the same clips: as long as from one checkpoint to the next."""
    config = load_recipe(recipe, folder / "engine")
    device = join_once().device
    batches = itertools.cycle(resident_batches(config, device))
    trainer = make_trainer(config, batches)
    loops = {
        "bare torch loop": bare_steps(config, batches, device),
        "engine": engine_steps(config, batches, device),
    }
    num_clips = NUM_STEPS * config.global_batch_size

    def run(loop: Iterator[Tensor]) -> int:
        torch.stack(list(itertools.islice(loop, NUM_STEPS))).tolist()
        return num_clips

    def everything() -> int:
        trainer.plan = replace(trainer.plan, last_step=trainer.step + NUM_STEPS)
        trainer.train()
        return num_clips

    return [
        *(Case(name, "clips", partial(run, loop)) for name, loop in loops.items()),
        Case("engine with reports and a checkpoint every 100 steps", "clips", everything),
    ]


def bare_steps(
    config: TrainConfig, batches: Iterator[ClipBatch], device: torch.device
) -> Iterator[Tensor]:
    """Train without end in plain torch; yields each step's mean loss, on the device."""
    objective = build_objective(config, device)
    plan = make_plan(config)
    optim = config.optim
    optimizer = torch.optim.AdamW(
        parameter_groups(objective, optim.weight_decay),
        betas=optim.betas,
        eps=optim.eps,
        fused=True,
    )
    dtype = precision(config, device)

    for step in itertools.count():
        for group in optimizer.param_groups:
            group["lr"] = plan.lr(step * plan.global_batch_size)
        losses = []
        for batch in itertools.islice(batches, plan.grad_accum_steps):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss = objective(batch, objective.targets(batch)).loss
            (loss / plan.grad_accum_steps).backward()
            losses.append(loss.detach())

        if optim.clip_grad_norm:
            torch.nn.utils.clip_grad_norm_(objective.parameters(), optim.clip_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        objective.after_optimizer_step()
        yield torch.stack(losses).mean()


def engine_steps(
    config: TrainConfig, batches: Iterator[ClipBatch], device: torch.device
) -> Iterator[Tensor]:
    """The same under the engine."""
    objective = build_objective(config, device)
    plan = make_plan(config)
    engine = build_engine(config, objective, device, grad_accum_steps=config.grad_accum_steps(1))

    for step in itertools.count():
        losses = []
        for batch in itertools.islice(batches, plan.grad_accum_steps):
            with engine.autocast():
                targets = objective.targets(batch)
            loss = engine(batch, targets).loss
            engine.backward(loss)
            engine.step(plan.lr(step * plan.global_batch_size))
            losses.append(loss.detach())
        objective.after_optimizer_step()
        yield torch.stack(losses).mean()
