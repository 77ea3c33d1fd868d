"""`surgstream describe`: a recipe in numbers, before anything is trained."""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from surgstream.configs.errors import ConfigError, SurgstreamError
from surgstream.shards.format.rates import check_rates_at_hand
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.locations import SizedTable
from surgstream.shards.reading.memory import buffer_problem, open_chunk_bytes
from surgstream.trainer import estimates
from surgstream.trainer.clip_tables import training_clips
from surgstream.trainer.commands.describing.table import table
from surgstream.trainer.commands.describing.warnings import (
    batch_warnings,
    draw_warnings,
    run_warnings,
)
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.mixing import corpus_warnings, look_back, repetition
from surgstream.trainer.model_sizes import ModelSizes, count_sizes
from surgstream.trainer.provenance.licences import licence_problem

GPUS_PER_NODE = 8
"""Where nothing else is said."""

NO_TORCH = "parameters, operations, memory, hours and disk space need torch: pip install 'surgstream[train]'"

_AUDIT_LINE_BYTES = 110.0
"""The length of a line where the corpus cannot be read: with names of ten letters."""


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream describe`."""
    config = load_recipe(words.config, words.overrides)
    if words.nodes is None:
        tree = describe(config, words.world_size, words.tflops)
    else:
        costs = {
            field.name: getattr(words, field.name)
            for field in dataclasses.fields(estimates.Failures)
        }
        given = {name: value for name, value in costs.items() if value is not None}
        failures = estimates.Failures(**given)
        world_size = words.nodes * (words.gpus_per_node or GPUS_PER_NODE)
        tree = describe(config, world_size, words.tflops)
        tree["effective_time"] = estimates.effective_time(
            failures, world_size, minutes_between_saves(tree)
        )
    page = json.dumps(tree, indent=2) if words.json else table(tree)
    sys.stdout.write(f"{page}\n")
    return 0


def describe(config: TrainConfig, world_size: int, tflops: float | None = None) -> dict[str, Any]:
    """Count everything that a configuration decides.

    Args:
        config: The run's configuration.
        world_size: Ranks it would run on.
        tflops: The sustained speed of each GPU, in 10^12 operations a second; None leaves the hours out.

    Returns:
        A JSON tree. `corpus` is null, with the reason in `corpus_error`, where the corpus cannot be read; it still has
        the run's numbers if the recipe gives `clips_per_epoch`. Without torch, as on a login node, it has `model_error`
        instead of what follows from the networks: parameters, operations, memory, hours and disk space.

    Raises:
        SurgstreamError: The configuration cannot be trained on this many ranks, or at the rate of a corpus that can be
            read, or with its datasets, or timm has no such teacher.
    """
    model = count_sizes(config.objective)
    tree = recipe_numbers(config, world_size)
    tree |= {"model_error": NO_TORCH} if model is None else model_numbers(config, model, world_size)
    check_rates_at_hand(config.corpora, config.data.fps, config.data.parts)
    try:
        config, frames = training_clips(config, check=False)
    except ConfigError:
        raise  # the corpus can be read, so the recipe is at fault
    except SurgstreamError as error:
        tree |= {"corpus": None, "corpus_error": str(error)}
        if config.clips_per_epoch is None:
            return tree
        plan = _plan(config, config.clips_per_epoch, world_size)
        return tree | run_numbers(config, model, plan, world_size, tflops, _AUDIT_LINE_BYTES)

    sizes = frames.sizes()
    plan = _plan(config, sum(size.num_clips for size in sizes), world_size)
    order = Order.create(sizes, config.seed, config.data.order)
    line_bytes = _audit_line_bytes(frames, plan, world_size)

    tree |= run_numbers(config, model, plan, world_size, tflops, line_bytes)
    tree |= corpus_numbers(config, frames, order, plan)
    tree["buffers"] = buffer_numbers(config, frames, order, world_size)
    problems = [tree["buffers"]["problem"], licence_problem(config, order)]
    tree["warnings"] += filter(None, problems)
    return tree


def minutes_between_saves(tree: Mapping[str, Any]) -> float | None:
    """The minutes from one save to the next, as far as they are known of a description."""
    if tree.get("time"):
        return float(tree["time"]["minutes_between_saves"])
    # Steps without a known length may come before the minutes.
    saves = tree.get("saves", {"every_steps": None, "every_minutes": None})
    return None if saves["every_steps"] else saves["every_minutes"]


def recipe_numbers(config: TrainConfig, world_size: int) -> dict[str, Any]:
    """The numbers that follow from the recipe alone."""
    fps = config.data.fps
    seconds = fps and look_back(config) / fps

    return {
        "objective": config.objective.name,
        "clip": {
            "frames": config.objective.encoder.num_frames,
            "stride": config.data.stride,
            "fps": fps,
            "seconds": seconds,
        },
        "batch": {
            "global": config.global_batch_size,
            "micro": config.micro_batch_size,
            "grad_accum_steps": config.grad_accum_steps(world_size),
            "world_size": world_size,
        },
    }


def model_numbers(config: TrainConfig, model: ModelSizes, world_size: int) -> dict[str, Any]:
    """The numbers of the networks."""
    return {
        "parameters": model.parameters,
        "tokens": model.tokens,
        "flops_per_clip": {**model.flops, "total": sum(model.flops.values())},
        "memory_gib": estimates.memory(config, model, world_size),
    }


def run_numbers(
    config: TrainConfig,
    model: ModelSizes | None,
    plan: TrainingPlan,
    world_size: int,
    tflops: float | None,
    audit_line_bytes: float,
) -> dict[str, Any]:
    """The numbers of the whole run: clips, steps, saves, bytes, and hours where a speed is given."""
    clips = plan.last_step * plan.global_batch_size
    tree = {
        "clips": {"corpus": None, "epoch": plan.draws_per_epoch, "run": clips},
        "steps": {
            "epoch": math.ceil(plan.draws_per_epoch / plan.global_batch_size),
            "warm_up": math.ceil(plan.warmup_draws / plan.global_batch_size),
            "run": plan.last_step,
        },
        "peak_lr": plan.peak_lr,
        "saves": {
            "every_steps": config.checkpoint.every_steps,
            "every_minutes": config.checkpoint.every_minutes,
        },
        "time": None,
        "warnings": [*run_warnings(config, plan)],
    }

    if model is not None:
        flops = sum(model.flops.values())
        tree["flops_run"] = flops * clips
        tree["disk_bytes"] = estimates.disk(config, model, plan, audit_line_bytes)
        if tflops is not None:
            tree["time"] = estimates.time(config, flops, plan, world_size=world_size, tflops=tflops)
    return tree


def corpus_numbers(
    config: TrainConfig, frames: SizedTable, order: Order, plan: TrainingPlan
) -> dict[str, Any]:
    """The numbers of the corpus: its clips, lanes, and the draws of each dataset's clips."""
    clips = sum(size.num_clips for size in frames.sizes())
    run = plan.last_step * plan.global_batch_size

    datasets = []
    for report in order.report():
        datasets.append(
            {
                "name": report.name,
                "clips": report.num_clips,
                "share": report.share,
                "repeats_an_epoch": report.repeats,
                "share_cut_short": estimates.cut_short_share(
                    frames, report.name, look_back(config)
                ),
                "draws_of_a_clip": run * report.share / report.num_clips,
                "repeated_frames": repetition(config, frames, report.name),
                "packed_frames_apart": frames.frames_apart(report.name),
            }
        )

    # They replace the warnings of `run_numbers` in the tree, and so begin with those.
    warnings = [*run_warnings(config, plan), *batch_warnings(config, order)]
    for dataset in datasets:
        warnings += draw_warnings(config, dataset)
    warnings += corpus_warnings(config, frames)

    return {
        "corpus": frames.sha256,
        "clips": {"corpus": clips, "epoch": plan.draws_per_epoch, "run": run},
        "lanes": order.num_lanes,
        "lanes_cover_the_batch": order.num_lanes >= config.global_batch_size,
        "datasets": datasets,
        "warnings": warnings,
    }


def buffer_numbers(
    config: TrainConfig, frames: SizedTable, order: Order, world_size: int
) -> dict[str, Any]:
    """The memory of a rank for chunks, and what is wrong with it; None where a run may begin with it."""
    frames_back = look_back(config)
    buffer_bytes = config.data.read.buffer_bytes
    return {
        "open_chunks": open_chunk_bytes(frames, order, frames_back, world_size),
        "buffer_bytes": buffer_bytes,
        "problem": buffer_problem(
            frames, order, frames_back, buffer_bytes=buffer_bytes, world_size=world_size
        ),
    }


def _plan(config: TrainConfig, num_clips: int, world_size: int) -> TrainingPlan:
    start = Progress(step=0, clips_seen=0, state={})
    return config.plan(num_clips=num_clips, world_size=world_size, start=start)


def _audit_line_bytes(frames: SizedTable, plan: TrainingPlan, world_size: int) -> float:
    """The mean length of an audit log's lines, with the names of clips from the middle of each dataset."""
    last = {
        "g": plan.last_step * plan.global_batch_size,
        "step": plan.last_step,
        "rank": world_size - 1,
    }
    lengths = []
    for size in frames.sizes():
        name = frames.locate(size.name, size.num_clips // 2)
        clip = {"dataset": name.dataset, "video": name.video, "anchor_frame": name.frame, **last}
        lengths.append(len(json.dumps(clip)) + 1)
    return fmean(lengths)
