"""`surgstream pretrain`: train a recipe, alone, under torchrun or under srun."""

import argparse
import logging
import os
import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from surgstream.configs.loading import load, to_tree
from surgstream.trainer.assembly import (
    build_engine,
    build_objective,
    clip_source,
    held_out,
    online_probe,
    open_corpus,
)
from surgstream.trainer.commands.preflight import preflight
from surgstream.trainer.compile_caches import keep_on_node
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.metrics import DataWatch
from surgstream.trainer.device import tell_device
from surgstream.trainer.distributed import (
    Topology,
    alone_when_failing,
    from_main,
    leave,
    topology_from_environment,
)
from surgstream.trainer.engine.checkpoint import (
    find_checkpoint,
    load_averages,
    load_moments,
    load_parameters,
)
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.engine.periodic import Measure
from surgstream.trainer.engine.preemption import Agreement, SignalFlag, StopFlag
from surgstream.trainer.engine.profile import Profiler, record_flights
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.watchdog import Watchdog
from surgstream.trainer.joining import join
from surgstream.trainer.mixing import report_mixing
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.resume import order_from, recipe_changes
from surgstream.trainer.run_directory import OWNING_SECONDS, owned_run, prepare_run_dir
from surgstream.trainer.run_log import configure_logging
from surgstream.trainer.runs.files import CHECKPOINTS, LOG, stacks_file
from surgstream.trainer.warm_start import carried_moments, warm_start

log = logging.getLogger(__name__)


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream pretrain`."""
    # Before the watchdog, which chains SIGUSR2 on to the handler that it finds.
    profile, launcher = SignalFlag(signal.SIGUSR2), os.getppid()
    keep_on_node(os.environ)
    topology = topology_from_environment(os.environ)
    configure_logging(topology)

    with alone_when_failing(topology):
        config = load(TrainConfig, words.config, words.overrides)
        watchdog = Watchdog(
            config.parallel.timeout_seconds, f"rank {topology.rank}/{topology.world_size}"
        )
        with closing(watchdog), owned_run(Path(config.run_dir), topology, watchdog) as check_owner:
            # From here on there is something to save; until then a signal ends this process.
            launched = topology.world_size > 1 or "RANK" in os.environ
            stop = StopFlag(launcher if launched else None, speaks=topology.is_main)
            config.grad_accum_steps(topology.world_size)  # refused before ranks wait for each other

            if topology.device.type == "cuda":
                record_flights(Path(config.run_dir), topology)
            if words.preflight:
                # The run's first step is one. Rank 0 may have watched a dead owner before.
                preflight(config, topology, with_step=False, patience_seconds=OWNING_SECONDS)
            else:
                watchdog.beat()  # NCCL connects without a timeout
                join(topology, config.parallel.timeout_seconds)

            if not topology.is_main:  # which now know that the run directory is theirs
                watchdog.write_to(stacks_file(Path(config.run_dir), topology.rank))
            watchdog.beat()
            pretrain(config, topology, stop, profile, watchdog, check_owner)
            leave()

    return 0


def pretrain(
    config: TrainConfig,
    topology: Topology,
    stop: SignalFlag,
    profile: SignalFlag,
    watchdog: Watchdog,
    check_owner: Callable[[], None],
) -> None:
    """Train one run to its end, from its newest checkpoint.

    Args:
        config: The run.
        topology: This rank's place; it has joined the others.
        stop: Raised when the run is to make way before its end.
        profile: Raised when somebody wants to see what this rank does.
        watchdog: Ends this process when it hangs.
        check_owner: Raises if somebody else has taken the run over.

    Raises:
        SurgstreamError: The data, the model, the checkpoint or the processes do not fit, or the loss is not finite.
    """
    run_dir, device = Path(config.run_dir), topology.device
    grad_accum_steps = config.grad_accum_steps(topology.world_size)
    corpus = open_corpus(config.data.corpus, config.data)
    checkpoint = find_checkpoint(run_dir / CHECKPOINTS, config.resume.checkpoint)
    progress = read_progress(checkpoint) if checkpoint else Progress(step=0, g=0, state={})
    order = order_from(progress, config, corpus)
    clips = clip_source(config, topology, corpus, config.data.crop)
    evaluation = held_out(config, config.held_out, topology) if config.held_out else None

    objective = build_objective(config, device, partial(_load_weights, config, checkpoint))
    engine = build_engine(config, objective, device, grad_accum_steps=grad_accum_steps)
    if moments := checkpoint or carried_moments(config.warm_start, config.optim):
        load_moments(moments, engine)
    probe = (
        Measure(config.probe.every_steps, online_probe(config, topology, objective))
        if config.probe
        else None
    )

    num_clips = sum(size.num_clips for size in corpus.sizes())
    plan = config.plan(num_clips=num_clips, world_size=topology.world_size, start=progress)
    from_main(lambda: prepare_run_dir(config, topology, progress))
    if topology.is_main:
        configure_logging(topology, run_dir / LOG)
        tell_device(topology)
        _tell_beginning(config, checkpoint, progress)
        report_mixing(order, config, corpus, progress, plan.last_step)

    state = {"order": order.to_json(), "manifest": corpus.sha256, "config": to_tree(config)}
    with clips.open(order, global_batch_size=config.global_batch_size, start=progress.g) as batches:
        watch = DataWatch(batches, order, topology, config.data.limits, run_dir, grad_accum_steps)
        trainer = Trainer(
            engine,
            objective,
            batches,
            plan=plan,
            progress=Progress(step=progress.step, g=progress.g, state=state),
            topology=topology,
            run_dir=run_dir,
            report=config.report,
            checkpoint=config.checkpoint,
            evaluation=evaluation,
            measures=[probe] if probe else [],
            audit_log=config.data.audit_log,
            watch=watch.report,
            agreement=Agreement(
                stop, 2 * config.parallel.timeout_seconds
            ),  # the watchdog comes first
            watchdog=watchdog,
            profiler=Profiler(profile, topology, run_dir),
            check_owner=check_owner,
        )
        with closing(trainer):
            trainer.train()


def _load_weights(config: TrainConfig, checkpoint: Path | None, objective: Objective) -> None:
    if checkpoint:
        load_parameters(checkpoint, objective)
        load_averages(checkpoint, objective.averages())
    elif config.warm_start:
        warm_start(config.warm_start, objective, config.objective.encoder)


def _tell_beginning(config: TrainConfig, checkpoint: Path | None, progress: Progress) -> None:
    beginning = f"resuming from {checkpoint}" if checkpoint else "starting"
    log.info("%s: step %d, %d clips seen", beginning, progress.step, progress.g)
    for difference in recipe_changes(progress, config):
        log.warning("the recipe is not the checkpoint's: %s", difference)
