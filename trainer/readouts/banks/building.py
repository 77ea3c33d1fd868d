"""From a recipe to what a run that trains a bank is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import check_batch
from surgstream.shards.reading.locations import ClipTable
from surgstream.trainer.data.config import AugmentConfig, View
from surgstream.trainer.data.loader import Truth
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.labelled.clips import SplitClips, TaskClips
from surgstream.trainer.labelled.config import VIEWS
from surgstream.trainer.readouts.bank_config import BankConfig, DenseConfig, LinearConfig
from surgstream.trainer.readouts.banks.adamw import StackedAdamW
from surgstream.trainer.readouts.banks.bank import HeadBank
from surgstream.trainer.readouts.banks.choosing import Head, heads_of
from surgstream.trainer.readouts.banks.dense_judging import DenseJudge
from surgstream.trainer.readouts.banks.heads import (
    Heads,
    build_heads,
    inputs_of,
)
from surgstream.trainer.readouts.banks.judging import Judge
from surgstream.trainer.readouts.banks.memory import (
    activation_bytes,
    dense_bytes,
    fitting_heads,
    tell_memory,
)
from surgstream.trainer.readouts.banks.parts import Parts, Standing
from surgstream.trainer.readouts.banks.targets import Target, target_of
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.dense.scales import scales_of
from surgstream.trainer.readouts.dense.targets import DenseTarget


def build_parts(
    recipe: ProbeRecipe,
    task: TaskClips,
    encoder: FrozenEncoder,
    rank_info: RankInfo,
    entries: Mapping[str, Any],
) -> Parts:
    """Build the heads, their optimizer, the plan and the judges of a run.

    Args:
        recipe: The probe, whose readout is a bank.
        task: Its task over its corpus.
        encoder: The encoder, on the device.
        rank_info: This rank's place.
        entries: What a state of the run holds that never changes.

    Raises:
        ConfigError: The grid does not fit the task, or the batch the ranks.
        ModelError: The heads do not fit the encoder, or the GPU.
    """
    readout = recipe.readout
    assert isinstance(readout, BankConfig)
    check_kind(readout, task)
    train = task.split("train")
    val = task.split("val")
    heads = _heads(readout, val, task)

    target = _target(readout, train)
    network = build_heads(
        readout,
        encoder,
        target.num_outputs,
        seed=recipe.seed,
        distances=_distances(task),
    )
    scales = scales_of(recipe, encoder)
    flops = scales.flops() + 3 * len(heads) * network.flops(encoder.grid.num_tokens)
    bank = _bank(recipe, network, len(heads), scales.largest, rank_info)

    plan = _plan(recipe, train, rank_info)
    every_clips = recipe.validate_every_epochs * plan.draws_per_epoch
    return Parts(
        recipe=recipe,
        rank_info=rank_info,
        task=task.config,
        metric=find_metric(task.config.main),
        encoder=encoder,
        scales=scales,
        inputs=inputs_of(readout, encoder, rank_info.device),
        target=target,
        heads=heads,
        bank=bank,
        optimizer=_optimizer(bank, heads),
        plan=plan,
        validate_every_steps=max(1, round(every_clips / recipe.global_batch_size)),
        val=_judge(recipe, rank_info, encoder, task, val) if val.videos else None,
        test=_judge(recipe, rank_info, encoder, task, task.split("test")),
        flops_per_clip=flops,
        entries=entries,
    )


def clip_source(
    recipe: ProbeRecipe,
    rank_info: RankInfo,
    encoder: FrozenEncoder,
    table: ClipTable,
    *,
    augment: AugmentConfig | View,
    truth: Truth | None = None,
) -> ClipSource:
    """The clips of a table in the shape of the encoder's input. Their stride is the table's own."""
    return ClipSource(
        replace(recipe.data, stride=1),
        table,
        seed=recipe.seed,
        num_frames=encoder.num_frames,
        image_size=encoder.image_size,
        micro_batch_size=recipe.micro_batch_size,
        rank_info=rank_info,
        augment=augment,
        truth=truth,
    )


def fresh_standing(parts: Parts) -> Standing:
    """Where a run stands at its beginning."""
    alive = torch.full((len(parts.heads),), -1, device=parts.rank_info.device)
    return Standing(step=0, clips_seen=0, dropped_at=alive)


def check_kind(readout: BankConfig, task: TaskClips) -> None:
    """Make sure that a readout says something of what the task asks for.

    Raises:
        ConfigError: It is of pixels, and the task of rows, or the other way round.
    """
    is_dense = isinstance(readout, DenseConfig)
    if is_dense == task.space.is_dense:
        return
    expected = "dense_linear or dense_dpt" if task.space.is_dense else "attentive or linear"
    raise ConfigError(
        f"readout: expected {expected}, as {task.config.name} is of kind {task.space.kind}, got "
        f"{readout.name}"
    )


def _heads(readout: BankConfig, val: SplitClips, task: TaskClips) -> tuple[Head, ...]:
    """The heads of the grid: one alone where there is nothing to choose by."""
    heads = heads_of(readout.grid)
    if not val.videos and len(heads) > 1:
        raise ConfigError(
            f"readout.grid: expected one head, as {task.config.name} has no validation videos to "
            f"choose by, got {len(heads)}; set readout.grid.lrs=[LR] and "
            "readout.grid.weight_decays=[DECAY]"
        )
    return heads


def _target(readout: BankConfig, train: SplitClips) -> Target | DenseTarget:
    if isinstance(readout, DenseConfig):
        return DenseTarget(space=train.space)
    return target_of(train, readout.smoothing)


def _distances(task: TaskClips) -> tuple[float, float] | None:
    """The nearest and the farthest that a head can predict; None where the task is not of depth."""
    layer = task.config.layer
    return (layer.near_mm, layer.far_mm) if layer and task.config.kind == "depth" else None


def _bank(
    recipe: ProbeRecipe,
    network: Heads,
    num_heads: int,
    encoder: FrozenEncoder,
    rank_info: RankInfo,
) -> HeadBank:
    """Make the bank, of as many heads at once as are asked for or fit, and tell what memory it takes."""
    readout = recipe.readout
    assert isinstance(readout, BankConfig)
    in_bf16 = recipe.encoder.computes_in_bf16(on_gpu=rank_info.device.type == "cuda")
    width_bytes = 2 if in_bf16 else 4
    if isinstance(readout, DenseConfig):
        of_activations = dense_bytes(readout, encoder, recipe.micro_batch_size)
    else:
        of_activations = activation_bytes(readout, encoder, recipe.micro_batch_size, width_bytes)

    heads_at_once = None if isinstance(readout, LinearConfig) else readout.heads_at_once
    if heads_at_once is None:
        of_head = sum(parameter.nbytes for parameter in network.parameters())
        heads_at_once = fitting_heads(num_heads, of_head, of_activations, rank_info.device)

    bank = HeadBank(network, num_heads, rank_info.device, heads_at_once)
    if rank_info.is_main:
        tell_memory(bank, of_activations)
    return bank


def _optimizer(bank: HeadBank, heads: Sequence[Head]) -> StackedAdamW:
    return StackedAdamW(bank, [head.lr for head in heads], [head.weight_decay for head in heads])


def _plan(recipe: ProbeRecipe, train: SplitClips, rank_info: RankInfo) -> TrainingPlan:
    """The run in numbers; learning rates are shares of their peaks."""
    batch, micro_batch = recipe.global_batch_size, recipe.micro_batch_size
    check_batch(batch, micro_batch, rank_info.world_size)
    readout = recipe.readout
    assert isinstance(readout, BankConfig)

    num_clips = sum(size.num_clips for size in train.training_table.sizes())
    draws_per_epoch = recipe.draws_per_epoch(num_clips)
    total_draws = math.ceil(recipe.epochs * draws_per_epoch)
    return TrainingPlan(
        global_batch_size=batch,
        grad_accum_steps=batch // (micro_batch * rank_info.world_size),
        last_step=math.ceil(total_draws / batch),
        draws_per_epoch=draws_per_epoch,
        warmup_draws=math.ceil(readout.grid.warmup_epochs * draws_per_epoch),
        total_draws=total_draws,
        peak_lr=1.0,
        start_lr=0.0,
        end_lr=0.0,
        decay="cosine",
    )


def _judge(
    recipe: ProbeRecipe,
    rank_info: RankInfo,
    encoder: FrozenEncoder,
    task: TaskClips,
    split: SplitClips,
) -> Judge:
    views = cast("tuple[View, ...]", VIEWS[recipe.clips.view])
    source = clip_source(recipe, rank_info, encoder, split.table, augment=views[0])
    if task.dense_truth:
        return DenseJudge(
            task=task.config, split=split, source=source, views=views, truth=task.dense_truth
        )
    return Judge(task=task.config, split=split, source=source, views=views)
