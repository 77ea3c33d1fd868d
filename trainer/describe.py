"""`surgstream describe`: a recipe in numbers, before anything is trained."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from configs.errors import SurgstreamError
from configs.loading import load
from shards.order import Order
from shards.storage import open_storage
from shards.table import FrameTable
from trainer.config import TrainConfig
from trainer.engine.schedules import Progress
from trainer.objectives import choice
from trainer.objectives.base import Objective

HELP = """\
Describe a recipe as JSON: parameters, tokens, FLOPs and memory by part, and, where the corpus can be read, its clips,
steps, lanes and how often each dataset is repeated.

  surgstream describe configs/pretrain/surgvista_vitb.yaml --world-size 8
  surgstream describe configs/pretrain/surgvista_vitb.yaml | jq .parameters.total

Nothing is trained and no weights are needed. The memory is an estimate of what one rank holds for the model and its
activations; frameworks and fragmentation come on top.
"""

_GIB = 2**30


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="surgstream describe", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="the recipe, a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that replace the recipe's")
    parser.add_argument("--world-size", type=int, default=1, metavar="W", help="ranks (default: 1)")
    words = parser.parse_intermixed_args(argv)
    if words.world_size < 1:
        parser.error("expected --world-size of at least 1")
    config = load(TrainConfig, words.config, words.overrides)
    sys.stdout.write(json.dumps(describe(config, words.world_size), indent=2) + "\n")
    return 0


def describe(config: TrainConfig, world_size: int) -> dict[str, Any]:
    """Count everything that a configuration decides.

    Args:
        config: The run's configuration.
        world_size: Ranks it would run on.

    Returns:
        A JSON tree. `corpus` is null, with the reason in `corpus_error`, where the corpus cannot be read.

    Raises:
        SurgstreamError: The configuration cannot be trained on so many ranks, or timm has no such teacher.
    """
    objective = choice.outline(config.objective)
    flops = objective.flops()
    tree: dict[str, Any] = {
        "objective": config.objective.name,
        "parameters": objective.parts(),
        "tokens": {
            "clip": objective.num_tokens,
            "visible": objective.num_visible,
            "masked": objective.num_tokens - objective.num_visible,
        },
        "flops_per_clip": {**flops, "total": sum(flops.values())},
        "memory_gib": memory(config, objective, world_size),
        "batch": {
            "global": config.global_batch_size,
            "micro": config.micro_batch_size,
            "grad_accum_steps": config.grad_accum_steps(world_size),
            "world_size": world_size,
        },
    }
    try:
        table = FrameTable.open(open_storage(config.data.corpus, config.data.s3), check=False)
    except SurgstreamError as error:
        return {**tree, "corpus": None, "corpus_error": str(error)}
    return {**tree, **data_numbers(config, table, world_size)}


def data_numbers(config: TrainConfig, table: FrameTable, world_size: int) -> dict[str, Any]:
    """What the corpus adds: clips, steps, lanes, repeats."""
    order = Order.create(table.sizes(), config.seed, config.data.order)
    clips = sum(size.num_clips for size in table.sizes())
    plan = config.plan(num_clips=clips, world_size=world_size, start=Progress(step=0, g=0, state={}))
    return {
        "corpus": table.sha256,
        "clips": {"corpus": clips, "epoch": plan.draws_per_epoch, "run": plan.last_step * plan.global_batch_size},
        "steps": {"epoch": math.ceil(plan.draws_per_epoch / plan.global_batch_size), "run": plan.last_step},
        "peak_lr": plan.peak_lr,
        "lanes": order.num_lanes,
        "lanes_cover_the_batch": order.num_lanes >= config.global_batch_size,
        "datasets": [
            {"name": report.name, "clips": report.num_clips, "share": report.share, "repeats_an_epoch": report.repeats}
            for report in order.report()
        ],
    }


def memory(config: TrainConfig, objective: Objective, world_size: int) -> dict[str, float]:
    """Estimate the GiB that a rank holds for the model.

    Parameters, gradients and optimizer state are fp32 and sharded as the ZeRO stage says. For its backward pass a
    transformer block in bf16 keeps about 34 bytes for each token and unit of width (Korthikanti et al. 2022, equation
    2, without the attention scores that fused kernels recompute), or 4 under activation checkpointing.
    """
    parts, stage, activations = objective.parts(), config.parallel.zero_stage, 0
    trainable, held = parts["trainable"], parts.get("teacher", 0) + parts.get("target_encoder", 0)
    for network, tokens in objective.trained():
        kept_bytes = 4 if network.activation_checkpointing else 34
        activations += tokens * network.shape.embed_dim * network.shape.depth * kept_bytes
    sizes = {
        "parameters": 4 * trainable / (world_size if stage == 3 else 1),
        "gradients": 4 * trainable / (world_size if stage >= 2 else 1),
        "optimizer": 12 * trainable / world_size,
        "targets": 4.0 * held,
        "activations": float(config.micro_batch_size * activations),
    }
    return {name: round(size / _GIB, 3) for name, size in {**sizes, "total": sum(sizes.values())}.items()}
