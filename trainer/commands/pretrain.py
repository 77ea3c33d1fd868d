"""`surgstream pretrain`: train a recipe, alone, under torchrun or under srun."""

import argparse
import logging
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from surgstream.configs.loading import to_tree
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import SizedTable
from surgstream.shards.reading.subsets.summary import summarise
from surgstream.trainer.assembly import clip_source, held_out_clips, periodic_tasks, training_corpus
from surgstream.trainer.commands.preflight import preflight
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.data.metrics import LoaderMetrics
from surgstream.trainer.descent import Descent, descent_of
from surgstream.trainer.device import tell_device
from surgstream.trainer.distributed import (
    RankInfo,
    barrier,
    broadcast,
    from_main,
)
from surgstream.trainer.engine.checkpoint import load_averages, load_moments, load_parameters
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.engine.metrics import Reporting
from surgstream.trainer.engine.periodic import Periodic
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.errors import MirrorError
from surgstream.trainer.finetuning.learned import LearnedTask, open_learned, with_task
from surgstream.trainer.finetuning.testing import check_untested, test_chosen
from surgstream.trainer.finetuning.validation import selection_of
from surgstream.trainer.health.gpus import NvmlGpu
from surgstream.trainer.health.watch import HardwareWatch
from surgstream.trainer.lineage.judging import log_verdict
from surgstream.trainer.mirror.choice import find_checkpoint
from surgstream.trainer.mirror.ending import wait_until_mirrored
from surgstream.trainer.mirror.opening import opened_mirror
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.mixing import report_mixing
from surgstream.trainer.networks import build_engine, build_objective
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.provenance.keeping import keep_provenance
from surgstream.trainer.provenance.recipes import of_training
from surgstream.trainer.provenance.record import KEY
from surgstream.trainer.resume import order_from, recipe_changes
from surgstream.trainer.runs.files import CHECKPOINTS, LOG
from surgstream.trainer.session.directory import OWNING_SECONDS, prepare_run_dir
from surgstream.trainer.session.log import configure_logging
from surgstream.trainer.session.process import Session, session, starting
from surgstream.trainer.tracking.trackers import Tracking
from surgstream.trainer.warm_start import carried_moments, warm_start

log = logging.getLogger(__name__)


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream pretrain`."""
    with starting() as rank_info:
        config = load_recipe(words.config, words.overrides)
        run_recipe(config, rank_info, with_preflight=words.preflight)
    return 0


def run_recipe(config: TrainConfig, rank_info: RankInfo, *, with_preflight: bool) -> None:
    """Train a recipe in its run directory, which no other run may own, together with the other ranks.

    Args:
        config: The recipe.
        rank_info: This process's place.
        with_preflight: Whether nodes, store and network are checked first.

    Raises:
        SurgstreamError: See `pretrain`; or another run is in the directory, or the ranks could not meet.
        MirrorError: The run is done, and its last checkpoint is not in its mirror.
    """

    def join_ranks(rank_info: RankInfo) -> RankInfo:
        # The run's first step tests the model. Rank 0 may come late: it may have watched a dead owner before.
        return preflight(config, rank_info, with_step=False, patience_seconds=OWNING_SECONDS)

    with (
        session(
            Path(config.run_dir),
            rank_info,
            config.parallel.timeout_seconds,
            # A batch that the ranks cannot share evenly is refused before they wait for each other.
            check=lambda: config.grad_accum_steps(rank_info.world_size),
            join_ranks=join_ranks if with_preflight else None,
        ) as found,
        opened_mirror(config, found.rank_info) as mirror,
    ):
        missing = pretrain(config, found, mirror)
    # What the run has cost is kept by now.
    if missing:
        raise MirrorError(missing)


def pretrain(config: TrainConfig, found: Session, mirror: Mirror | None) -> str | None:
    """Train a run to its end, and test what has learned a task; returns what its mirror lacks then, in a sentence.

    Args:
        config: The run.
        found: This rank, which has joined the others.
        mirror: The mirror of the run's checkpoints, on rank 0.

    Raises:
        SurgstreamError: The data, the model, the checkpoint or the processes do not fit, or the loss is not finite.
    """
    rank_info = found.rank_info
    corpus = training_corpus(config.data)
    task = open_learned(config, corpus) if config.task else None
    config = with_task(config, task) if task else config
    table = task.train.training_table if task else corpus

    checkpoint, progress = _standing(config, mirror)
    order = order_from(progress, config, table)
    descent = from_main(lambda: descent_of(config, corpus, task, order, progress))
    truth = task.train.truth if task else None
    clips = clip_source(config, rank_info, table, config.data.augment, truth)

    objective, engine, periodic = _build(config, rank_info, checkpoint, progress)
    num_clips = sum(size.num_clips for size in table.sizes())
    plan = config.plan(num_clips=num_clips, world_size=rank_info.world_size, start=progress)

    papers = _set_up(config, rank_info, checkpoint, progress, descent)
    if rank_info.is_main:
        report_mixing(order, config, table, progress, plan.last_step)
        if task and descent.verdict:
            log_verdict(descent.verdict, task.config)

    selection = selection_of(config, task, engine, objective, rank_info, plan, progress)
    state = _state(config, order, table, corpus)
    with clips.open(
        order, global_batch_size=config.global_batch_size, start=progress.clips_seen
    ) as batches:
        trainer = Trainer(
            engine,
            objective,
            batches,
            plan=plan,
            progress=replace(progress, state=state | descent.to_state() | papers),
            rank_info=rank_info,
            run_dir=Path(config.run_dir),
            reporting=_reporting(config, rank_info, batches, order, plan),
            checkpoint=config.checkpoint,
            periodic=periodic,
            selection=selection,
            guards=found.make_guards(),
            mirror=mirror.publish if mirror else None,
        )
        with closing(trainer):
            if mirror and checkpoint:  # an earlier start may have ended while it was copied
                mirror.publish(checkpoint, trainer.selection.best)
            missing = _train(config, trainer, task, batches, mirror)
        # Rank 0 serves the store in which the others look until they have closed.
        barrier()
    return missing


def _prepare(
    config: TrainConfig, rank_info: RankInfo, progress: Progress, descent: Descent
) -> dict[str, Any]:
    """Prepare the run directory; returns what checkpoints keep of where the run comes from."""
    prepare_run_dir(config, rank_info, progress)
    made_of = of_training(config, descent.own, descent.ancestry)
    return {KEY: keep_provenance(config, progress, made_of)}


def _state(
    config: TrainConfig, order: Order, table: SizedTable, corpus: FrameTable
) -> dict[str, Any]:
    """What a checkpoint keeps beside weights and moments: for resumes, and for whoever reads of the model."""
    state = {"order": order.to_json(), "manifest": table.sha256, "config": to_tree(config)}
    if not config.task:
        state["corpus_summary"] = to_tree(from_main(partial(summarise, corpus)))
    return state


def _standing(config: TrainConfig, mirror: Mirror | None) -> tuple[Path | None, Progress]:
    """The checkpoint that a run resumes from, if there is one, and where it stands; collective."""
    run_dir = Path(config.run_dir)
    place = mirror.place if mirror else None
    checkpoint = find_checkpoint(run_dir / CHECKPOINTS, config.resume.checkpoint, place)
    if checkpoint:
        return checkpoint, read_progress(checkpoint)

    if config.task:
        from_main(partial(check_untested, run_dir))
    return None, Progress(step=0, clips_seen=0, state={})


def _reporting(
    config: TrainConfig, rank_info: RankInfo, batches: ClipLoader, order: Order, plan: TrainingPlan
) -> Reporting:
    """The reports of the run's steps."""
    run_dir = Path(config.run_dir)
    limits = config.data.limits
    watch = LoaderMetrics(batches, order, rank_info, limits, run_dir, plan.grad_accum_steps)
    every_minutes = config.metrics.health_every_minutes
    gpu = NvmlGpu.open(rank_info.device)
    return Reporting(
        every_steps=config.metrics.every_steps,
        watch=watch.report,
        hardware=HardwareWatch(gpu, every_minutes, speaks=rank_info.is_main),
        audit_log=config.data.audit_log,
        tracking=Tracking(config.tracking, run_dir, config) if rank_info.is_main else None,
    )


def _build(
    config: TrainConfig, rank_info: RankInfo, checkpoint: Path | None, progress: Progress
) -> tuple[Objective, ZeroEngine, list[Periodic]]:
    """Build the objective, its engine and the periodic tasks, with the weights and moments that the run begins with."""
    held_out = held_out_clips(config, config.held_out, rank_info) if config.held_out else None

    def load_weights(objective: Objective) -> None:
        # Rank 0 reads for all: the engine sends its parameters to the others, and `broadcast` its averages.
        from_main(partial(_load_weights, config, checkpoint, objective))

    objective = build_objective(config, rank_info.device, load_weights)
    broadcast(objective.averages().values())

    grad_accum_steps = config.grad_accum_steps(rank_info.world_size)
    engine = build_engine(config, objective, rank_info.device, grad_accum_steps=grad_accum_steps)
    moments = checkpoint or carried_moments(config.warm_start, config.optim)
    if moments:
        load_moments(moments, engine)
    engine.load_state(progress.state)

    periodic = periodic_tasks(config, rank_info, engine, objective, held_out)
    return objective, engine, periodic


def _train(
    config: TrainConfig,
    trainer: Trainer,
    task: LearnedTask | None,
    batches: ClipLoader,
    mirror: Mirror | None,
) -> str | None:
    """Train, test what has learned a task, and wait for the mirror, unless the run is asked to stop before."""
    trainer.train()
    if task and trainer.step >= trainer.plan.last_step:
        batches.close()
        test_chosen(config, task, trainer)
    return wait_until_mirrored(mirror, trainer) if config.checkpoint.mirror else None


def _load_weights(config: TrainConfig, checkpoint: Path | None, objective: Objective) -> None:
    if checkpoint:
        load_parameters(checkpoint, objective)
        load_averages(checkpoint, objective.averages())
    elif config.warm_start:
        warm_start(config.warm_start, objective, config.objective.encoder)


def _set_up(
    config: TrainConfig,
    rank_info: RankInfo,
    checkpoint: Path | None,
    progress: Progress,
    descent: Descent,
) -> dict[str, Any]:
    """Prepare the run directory, and log to the run's own file from now on, first where this start begins.

    Returns what checkpoints keep of where the run comes from.
    """
    papers = from_main(lambda: _prepare(config, rank_info, progress, descent))
    if rank_info.is_main:
        configure_logging(rank_info, Path(config.run_dir) / LOG)
        tell_device(rank_info)
        beginning = f"resuming from {checkpoint}" if checkpoint else "starting"
        log.info("%s: step %d, %d clips seen", beginning, progress.step, progress.clips_seen)
        for difference in recipe_changes(progress, config):
            log.warning("the recipe is not the checkpoint's: %s", difference)
    return papers
