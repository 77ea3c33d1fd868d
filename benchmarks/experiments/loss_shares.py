"""The gradients of UniSurg's terms early in training.

`python -m surgstream.benchmarks.experiments.loss_shares CORPUS` trains `unisurg_tiny_stage1` in this process for some
steps: as it is, with raw deviations, and by its paper's letter. It prints the norms of the weighted terms' gradients
over all parameters, and the weights of a clip's tubes.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.loading import load
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.assembly import clip_source
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.parameter_groups import parameter_groups
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.unisurg import UniSurg
from surgstream.trainer.resume import order_from

RECIPES = Path(__file__).parents[2] / "configs" / "pretrain"
_LETTER = (
    *("norm=sum", "standardise_motion=false", "scope=topk", "reduction=sum", "affinities=tokens"),
    *("normalise_targets=false", "normalise_variance=false"),
)
CASES = {"ours": (), "ours, raw deviations": ("normalise_variance=false",), "letter": _LETTER}


def main() -> int:
    """Measure all cases, and print them as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.loss_shares", description=__doc__
    )
    parser.add_argument("corpus", metavar="CORPUS")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=10)
    words = parser.parse_args()

    found = {}
    for name, switches in CASES.items():
        overrides = [f"data.corpus={words.corpus}", *(f"objective.{switch}" for switch in switches)]
        config = load(TrainConfig, RECIPES / "unisurg_tiny_stage1.yaml", overrides)
        found[name] = [*shares(config, words.steps, words.every)]

    print(json.dumps({**conditions(), "cases": found}, indent=1))
    return 0


def shares(config: TrainConfig, steps: int, every: int) -> Iterator[dict[str, Any]]:
    """Train on one micro-batch a step, and look at the gradients every few steps."""
    beginning = Progress(step=0, clips_seen=0, state={})
    storage = open_storage(config.data.corpus, config.data.s3)
    table = FrameTable.open(storage, datasets=config.data.datasets)
    order = order_from(beginning, config, table)
    source = clip_source(config, RankInfo(), table, config.data.augment)

    objective = cast(UniSurg, choice.build(config.objective, config.seed))
    optim = config.optim
    batch_size = config.micro_batch_size
    optimizer = torch.optim.AdamW(
        parameter_groups(objective, optim.weight_decay), betas=optim.betas, eps=optim.eps
    )
    plan = config.plan(num_clips=1, world_size=1, start=beginning)

    with source.open(order, global_batch_size=batch_size, start=0) as batches:
        for step in range(steps + 1):
            batch = replace(next(batches), step_draw=step * batch_size)
            if step % every == 0:
                yield {"step": step, **gradients(objective, batch)}

            for group in optimizer.param_groups:
                group["lr"] = plan.lr(step * config.global_batch_size)
            optimizer.zero_grad()
            objective(batch, objective.targets(batch)).loss.backward()
            optimizer.step()
            objective.after_optimizer_step()


def gradients(objective: UniSurg, batch: ClipBatch) -> dict[str, Any]:
    """Norms of the weighted terms' gradients, and the mean weights w of a clip's K tubes, the largest first."""
    config = objective.config
    parameters = [*objective.parameters()]

    def gradient(affinity_weight: float, variance_weight: float) -> Tensor:
        objective.config = replace(
            config, affinity_weight=affinity_weight, variance_weight=variance_weight
        )
        loss = objective(batch, objective.targets(batch)).loss
        parts = torch.autograd.grad(loss, parameters)
        return torch.cat([part.flatten() for part in parts])

    motion = gradient(0.0, 0.0)
    # The motion term has no weight and is in every loss, so the others are differences to it
    affinity = gradient(config.affinity_weight, 0.0) - motion
    variance = gradient(0.0, config.variance_weight) - motion
    objective.config = config

    ((_, masked),) = objective.draw(batch)
    scores = objective._scores(batch.clips).gather(1, objective._tubes_of(masked))
    weights, _ = objective._weights(scores)
    largest = weights.topk(config.top_k, dim=1).values.mean(0)

    vectors = {"motion": motion, "affinity": affinity, "variance": variance}
    norms = {name: round(vector.norm().item(), 4) for name, vector in vectors.items()}
    return {**norms, "weights": [round(value, 3) for value in largest.tolist()]}


if __name__ == "__main__":
    sys.exit(main())
