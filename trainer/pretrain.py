"""`surgstream pretrain`: train a recipe, alone, under torchrun or under srun."""

import argparse
import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from configs.loading import load, to_tree
from shards.order import Order
from shards.storage import S3Config, open_storage
from shards.table import FrameTable
from trainer.config import HeldOutConfig, ProbeConfig, TrainConfig
from trainer.data.config import CropConfig
from trainer.data.source import ClipSource
from trainer.data.watch import DataWatch
from trainer.distributed import (
    Topology,
    alone_when_failing,
    configure_logging,
    from_main,
    join,
    leave,
    topology_from_environment,
)
from trainer.engine.checkpoint import find_checkpoint, load_averages, load_moments, load_parameters
from trainer.engine.loop import Trainer
from trainer.engine.observe import Evaluation, Measure
from trainer.engine.parallel import ZeroEngine
from trainer.engine.pictures import PICTURED_CLIPS
from trainer.engine.preemption import STOP_SIGNALS, Agreement, SignalFlag
from trainer.engine.profile import Profiler, record_flights
from trainer.engine.saved import read_progress
from trainer.engine.schedules import Progress
from trainer.engine.watchdog import Watchdog
from trainer.objectives import choice
from trainer.objectives.base import Objective
from trainer.preflight import preflight
from trainer.probe import ClipsWithLabels, Probe
from trainer.resume import order_from, recipe_changes
from trainer.rundir import prepare_run_dir
from trainer.runfiles import CHECKPOINTS, LOG, STACKS, marked_when_failing, remove_marks
from trainer.warmstart import warm_start

log = logging.getLogger(__name__)

HELP = """\
Train a recipe on a packed corpus.

  surgstream pretrain configs/pretrain/surgvista_tiny.yaml data.corpus=demo/shards
  torchrun --nproc-per-node 8 -m launch pretrain configs/pretrain/surgvista_vitb.yaml data.corpus=s3://bucket/corpus
  srun --ntasks-per-node 8 surgstream pretrain configs/pretrain/surgvista_vitb.yaml run_dir=/scratch/run1

Everything of a run is written to its run_dir; the same command continues it from its newest whole checkpoint, on any
number of ranks that divides the global batch. Any key of the YAML can be overridden as section.key=value.

SIGTERM or SIGUSR1 to any rank: all save after the same step and end, with a mark REQUEUE. SIGUSR2 to a rank: it writes
its threads' stacks, and a trace of its next steps, and goes on.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="surgstream pretrain", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="the recipe, a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that replace the recipe's")
    parser.add_argument("--preflight", action="store_true", help="check nodes, store and network first")
    words = parser.parse_intermixed_args(argv)
    stop, profile = SignalFlag(*STOP_SIGNALS), SignalFlag(signal.SIGUSR2)
    topology = topology_from_environment(os.environ)
    configure_logging(topology)
    with alone_when_failing(topology):
        config = load(TrainConfig, words.config, words.overrides)
        run_dir = Path(config.run_dir)
        if topology.is_main:
            remove_marks(run_dir)
        stacks, timeout_seconds = run_dir / STACKS / f"rank{topology.rank:05d}.txt", config.parallel.timeout_seconds
        with marked_when_failing(run_dir), closing(Watchdog(stacks, timeout_seconds)) as watchdog:
            config.grad_accum_steps(topology.world_size)  # refused before ranks wait for each other
            if topology.device.type == "cuda":
                record_flights(run_dir)
            if words.preflight:
                preflight(config, topology, with_step=False)  # the run's first step is one
            else:
                watchdog.beat()  # NCCL connects without a timeout
                join(topology, timeout_seconds)
            watchdog.beat()
            pretrain(config, topology, stop, profile, watchdog)
            leave()
    return 0


def pretrain(
    config: TrainConfig, topology: Topology, stop: SignalFlag, profile: SignalFlag, watchdog: Watchdog
) -> None:
    """Train one run to its end, from its newest checkpoint.

    Args:
        config: The run.
        topology: This rank's place; it has joined the others.
        stop: Raised when the run is to make way before its end.
        profile: Raised when somebody wants to see what this rank does.
        watchdog: Ends this process when it hangs.

    Raises:
        SurgstreamError: The data, the model, the checkpoint or the processes do not fit, or the loss is not finite.
    """
    grad_accum_steps = config.grad_accum_steps(topology.world_size)
    corpus = open_corpus(config.data.corpus, config.data.s3)
    checkpoint = find_checkpoint(Path(config.run_dir) / CHECKPOINTS, config.resume.checkpoint)
    progress = read_progress(checkpoint) if checkpoint else Progress(step=0, g=0, state={})
    order = order_from(progress, config, corpus)
    clips = clip_source(config, topology, corpus, config.data.crop)
    evaluation = held_out(config, config.held_out, topology) if config.held_out else None

    objective = choice.build(config.objective, seed=config.seed)
    if checkpoint:
        load_parameters(checkpoint, objective)
        load_averages(checkpoint, objective.averages())
    elif config.warm_start:
        warm_start(config.warm_start, objective, config.objective.encoder)
    objective.to(topology.device)
    if config.compile:
        objective.compile_parts()
    engine = ZeroEngine(
        objective,
        config.optim,
        config.parallel,
        micro_batch_size=config.micro_batch_size,
        grad_accum_steps=grad_accum_steps,
        device=topology.device,
    )
    if checkpoint:
        load_moments(checkpoint, engine)

    from_main(lambda: prepare_run_dir(config, topology, progress))
    if topology.is_main:
        configure_logging(topology, Path(config.run_dir) / LOG)
        beginning = f"resuming from {checkpoint}" if checkpoint else "starting"
        log.info("%s: step %d, %d clips seen", beginning, progress.step, progress.g)
        for difference in recipe_changes(progress, config):
            log.warning("the recipe is not the checkpoint's: %s", difference)
        report_order(order, config)
    state = {"order": order.to_json(), "manifest": corpus.sha256, "config": to_tree(config)}
    with clips.open(order, global_batch_size=config.global_batch_size, start=progress.g) as batches:
        watch = DataWatch(batches, order, topology, config.data.limits, Path(config.run_dir), grad_accum_steps)
        trainer = Trainer(
            engine,
            objective,
            batches,
            plan=config.plan(
                num_clips=sum(size.num_clips for size in corpus.sizes()), world_size=topology.world_size, start=progress
            ),
            progress=Progress(step=progress.step, g=progress.g, state=state),
            topology=topology,
            run_dir=Path(config.run_dir),
            report=config.report,
            checkpoint=config.checkpoint,
            evaluation=evaluation,
            measures=[Measure(config.probe.every_steps, online_probe(config, topology, objective))]
            if config.probe
            else [],
            audit_log=config.data.audit_log,
            watch=watch.report,
            agreement=Agreement(stop, 2 * config.parallel.timeout_seconds),  # the watchdog comes first
            watchdog=watchdog,
            profiler=Profiler(profile, topology, Path(config.run_dir)),
        )
        with closing(trainer):
            trainer.train()


def open_corpus(uri: str, s3: S3Config) -> FrameTable:
    """Open a packed corpus on every rank; rank 0 alone checks that nothing of it is missing."""
    corpus = FrameTable.open(open_storage(uri, s3), check=False)
    from_main(corpus.check_sizes)
    return corpus


def clip_source(config: TrainConfig, topology: Topology, corpus: FrameTable, crop: CropConfig | None) -> ClipSource:
    """The clips of a corpus as the model wants them."""
    return ClipSource(
        config.data,
        corpus,
        seed=config.seed,
        num_frames=config.objective.encoder.num_frames,
        image_size=config.objective.encoder.image_size,
        micro_batch_size=config.micro_batch_size,
        topology=topology,
        crop=crop,
    )


def held_out(config: TrainConfig, settings: HeldOutConfig, topology: Topology) -> Evaluation:
    """The held-out clips: centre squares, the same ones each time."""
    source = clip_source(config, topology, open_corpus(settings.corpus, config.data.s3), crop=None)
    return Evaluation(
        open=lambda: source.open_pass(settings.clips),
        preview=lambda: source.open_pass(PICTURED_CLIPS, shared=False),
        every_steps=settings.every_steps,
    )


def online_probe(
    config: TrainConfig, topology: Topology, objective: Objective
) -> Callable[[Callable[[], bool]], dict[str, float]]:
    """What takes the probe's measure of the objective's features."""
    settings, held_out = config.probe or ProbeConfig(), config.held_out
    test_corpus = settings.test_corpus or (held_out.corpus if held_out else config.data.corpus)
    fit, test = (
        labelled_clips(config, topology, uri, settings.label, num_clips)
        for uri, num_clips in (
            (settings.corpus or config.data.corpus, settings.clips),
            (test_corpus, settings.test_clips),
        )
    )
    probe = Probe(fit, test)
    return lambda stopping: {
        f"probe/{name}": value for name, value in probe.measure(objective.represent, stopping).items()
    }


def labelled_clips(config: TrainConfig, topology: Topology, uri: str, label: str, num_clips: int) -> ClipsWithLabels:
    """Labelled clips of a corpus, as centre squares."""
    corpus = open_corpus(uri, config.data.s3)
    return ClipsWithLabels(clip_source(config, topology, corpus, crop=None), corpus, label, num_clips)


def report_order(order: Order, config: TrainConfig) -> None:
    """Log how often each dataset will be seen, and warn of much repeated ones and of batches that mix badly."""
    for dataset in order.report():
        log.info(
            "%s (%s): %d clips, %.2f %% of the draws, each clip %.2f times while as many are drawn as the corpus has",
            dataset.name, dataset.specialty, dataset.num_clips, 100 * dataset.share, dataset.repeats,
        )  # fmt: skip
        if dataset.repeats > config.data.order.most_repeats:
            log.warning(
                "%s: each of its %d clips is drawn %.1f times as often as an average clip, more than "
                "data.order.most_repeats %g: the model may learn it by heart; weights nearer to uniform, such as "
                "data.order.weights={temperature: 0.5}, repeat it less",
                dataset.name, dataset.num_clips, dataset.repeats, config.data.order.most_repeats,
            )  # fmt: skip
    if order.num_lanes < config.global_batch_size:
        log.warning(
            "%d lanes for batches of %d clips: some clips of a batch will be close neighbours; larger corpora and "
            "data.order.lanes >= global_batch_size mix better",
            order.num_lanes, config.global_batch_size,
        )  # fmt: skip
