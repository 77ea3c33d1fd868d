"""A probe whose readout is a bank of heads, from its recipe to its predictions."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from surgstream.configs.changes import changes
from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.order.sequence import Order
from surgstream.trainer.data.metrics import LoaderMetrics
from surgstream.trainer.distributed import RankInfo, barrier, broadcast, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.latency import measure_cost
from surgstream.trainer.encoders.running import Runner
from surgstream.trainer.engine.checkpoint_files import newest_whole, read_progress
from surgstream.trainer.engine.loop import Guards
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError, EvaluationError
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.pictures import truth_of_pixels
from surgstream.trainer.provenance.keeping import keep_provenance
from surgstream.trainer.provenance.recipes import of_probe
from surgstream.trainer.readouts.banks.building import build_parts, clip_source, fresh_standing
from surgstream.trainer.readouts.banks.choosing import history_from
from surgstream.trainer.readouts.banks.parts import Parts, Standing
from surgstream.trainer.readouts.banks.results import (
    is_tested,
    keep_test,
    models_to_test,
    warn_of_edge,
)
from surgstream.trainer.readouts.banks.state import KeptHead, empty_like, load_tensors
from surgstream.trainer.readouts.banks.training import BankTrainer, Feed
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.tested import check_results
from surgstream.trainer.runs.costs import write_encoder_cost
from surgstream.trainer.runs.files import CHECKPOINTS, LOG
from surgstream.trainer.session.directory import prepare_run_dir
from surgstream.trainer.session.log import configure_logging

log = logging.getLogger(__name__)


def train_bank(
    recipe: ProbeRecipe,
    task: TaskClips,
    encoder: FrozenEncoder,
    rank_info: RankInfo,
    make_guards: Callable[[], Guards],
    leaks: Mapping[str, Any] | None = None,
) -> bool:
    """Train a bank of heads to its end, from its newest state, and test it once, where that is wanted.

    Args:
        recipe: The probe, whose readout is a bank.
        task: Its task over its corpus.
        encoder: The encoder, on the device.
        rank_info: This rank's place; it has joined the others.
        make_guards: Makes what watches over the run, right before its first step; collective.
        leaks: What was found of the task's videos in what the encoder was trained on, as JSON; None is not known.

    Returns:
        Whether all is done; otherwise the run was asked to stop, has saved, and bears a mark.

    Raises:
        SurgstreamError: The task, the encoder, the state or the processes do not fit, or all heads diverged.
    """
    run_dir = Path(recipe.run_dir)
    train = task.split("train")
    table = train.training_table
    settings = train.training_order(recipe.data.order)
    order = Order.create(table.sizes(), recipe.seed, settings)
    entries = {
        "order": order.to_json(),
        "manifest": table.sha256,
        "config": to_tree(recipe),
        "encoder": encoder.identity,
    }
    checkpoint = from_main(lambda: newest_whole(run_dir / CHECKPOINTS))
    progress = read_progress(checkpoint) if checkpoint else Progress(0, 0, {})
    if checkpoint:
        check_same(checkpoint, progress, recipe, entries)
    else:
        from_main(lambda: check_results(recipe))

    parts = replace(build_parts(recipe, task, encoder, rank_info, entries), leaks=leaks)
    standing = _restore(checkpoint, progress, parts) if checkpoint else fresh_standing(parts)
    from_main(lambda: _prepare(recipe, task, rank_info, progress))
    if rank_info.is_main:
        configure_logging(rank_info, run_dir / LOG)
        where = f"resuming from {checkpoint}" if checkpoint else "starting"
        log.info("%s: step %d of %d", where, standing.step, parts.plan.last_step)

    if from_main(lambda: is_tested(parts)):
        log.info("%s was tested, and its predictions stay as they are", run_dir)
        return True

    if rank_info.is_main:
        runner = Runner(encoder, recipe.encoder, rank_info.device)
        write_encoder_cost(run_dir, measure_cost(runner, rank_info))
    return _train_and_test(parts, standing, task, order, make_guards)


def _prepare(recipe: ProbeRecipe, task: TaskClips, rank_info: RankInfo, progress: Progress) -> None:
    prepare_run_dir(recipe, rank_info, progress)
    keep_provenance(recipe, progress, of_probe(recipe, task.config.dataset))


def _train_and_test(
    parts: Parts,
    standing: Standing,
    task: TaskClips,
    order: Order,
    make_guards: Callable[[], Guards],
) -> bool:
    """Train, choose, and test if wanted; whether all is done, rather than stopped."""
    recipe, rank_info = parts.recipe, parts.rank_info
    train = task.split("train")
    source = clip_source(
        recipe,
        rank_info,
        parts.encoder,
        train.training_table,
        augment="squash" if task.dense_truth else recipe.data.augment,
        truth=truth_of_pixels(task, parts.encoder.image_size) if task.dense_truth else train.truth,
    )
    with source.open(
        order, global_batch_size=recipe.global_batch_size, start=standing.clips_seen
    ) as batches:
        accum = parts.plan.grad_accum_steps
        watch = LoaderMetrics(batches, order, rank_info, recipe.data.limits, parts.run_dir, accum)
        feed = Feed(batches=batches, watch=watch.report)
        trainer = BankTrainer(parts, standing, feed, make_guards())
        with closing(trainer):
            is_done = trainer.train() and _choose_and_test(trainer)
        # Rank 0 serves the store in which the others look until they have closed
        barrier()
    return is_done


def check_same(
    checkpoint: Path, progress: Progress, recipe: ProbeRecipe, entries: dict[str, Any]
) -> None:
    """Make sure that a state is of this probe: recipe, clips and encoder decide what is learned.

    Raises:
        CheckpointError: It is of another.
    """
    saved = progress.state
    if not isinstance(saved.get("config"), dict) or not isinstance(saved.get("history"), list):
        raise CheckpointError(
            f"{checkpoint}: expected the state of a probe, got another run's; choose another run_dir"
        )
    differences = changes(_with_defaults(saved["config"]), recipe)
    if saved.get("encoder") != entries["encoder"]:
        differences.append("weights: the encoder is another")
    if saved.get("manifest") != entries["manifest"] or saved.get("order") != entries["order"]:
        differences.append("data: the training clips or their order are others")
    if differences:
        raise CheckpointError(
            f"{checkpoint}: expected the probe that this run began with, got another: "
            f"{'; '.join(differences)}; choose another run_dir"
        )


def _with_defaults(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved recipe with today's defaults for keys that it did not know yet."""
    try:
        tree: dict[str, Any] = to_tree(build(ProbeRecipe, saved, where="the state"))
    except ConfigError:
        return saved
    return tree


def _restore(checkpoint: Path, progress: Progress, parts: Parts) -> Standing:
    """The standing of a state, whose tensors rank 0 reads for all; collective."""
    standing = fresh_standing(parts)
    standing.step = progress.step
    standing.clips_seen = progress.clips_seen
    standing.history = history_from(progress.state["history"])
    if progress.state["kept"]:
        standing.kept = KeptHead(parts.bank.weights.of_head(0), empty_like(parts.inputs.statistics))

    wanted = standing.tensors(parts)
    from_main(lambda: load_tensors(checkpoint, wanted))
    broadcast(wanted.values())
    parts.optimizer.num_steps = standing.step
    return standing


def _choose_and_test(trainer: BankTrainer) -> bool:
    """Make sure of the choice, and ask the test where that is wanted; collective.

    Returns:
        Whether all is done; false where the run is told to stop before all of the test is predicted.
    """
    parts, standing = trainer.parts, trainer.standing
    if standing.kept is None:
        raise EvaluationError(
            f"{parts.task.name}: expected {parts.task.main} to be defined for one head at one "
            "validation at least, got none to choose; are there too few validation videos?"
        )
    if parts.rank_info.is_main:
        warn_of_edge(parts, standing)
    if not parts.recipe.test:
        return True

    models = models_to_test(parts, standing, trainer.scores)
    predictions = trainer.predict(parts.test, models)
    if predictions is None:
        trainer.mark()
        return False
    keep_test(parts, standing, predictions)
    return True
