"""`surgstream probe`: train a readout of a frozen encoder on a task, alone, under torchrun or under srun."""

import argparse
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from surgstream.configs.loading import load
from surgstream.shards.order.sequence import check_batch
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.assembly import open_corpus
from surgstream.trainer.device import tell_device
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import check_rate, load_frozen
from surgstream.trainer.engine.loop import Guards
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, with_ids
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.opening import open_task
from surgstream.trainer.lineage.judging import (
    JUDGED,
    judge_weights,
    log_verdict,
    outcomes_folder,
    refuse_contaminated,
)
from surgstream.trainer.lineage.verdict import to_json
from surgstream.trainer.provenance.keeping import keep_provenance
from surgstream.trainer.provenance.recipes import of_probe
from surgstream.trainer.readouts import on_features
from surgstream.trainer.readouts.bank_config import BankConfig
from surgstream.trainer.readouts.banks.probe import train_bank
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.trajectory import Trajectory, load_recipe
from surgstream.trainer.runs.files import LOG
from surgstream.trainer.session.directory import prepare_run_dir
from surgstream.trainer.session.log import configure_logging
from surgstream.trainer.session.process import Session, session, starting

log = logging.getLogger(__name__)

Work = Callable[[ProbeRecipe, RankInfo, Callable[[], Guards], FrozenEncoder | None], bool]
"""Runs a recipe, with its encoder where that is at hand; whether it is done, rather than stopped."""


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream probe`."""
    with starting() as rank_info:
        every_checkpoint = words.every_checkpoint
        if every_checkpoint:
            recipe = load_recipe(words.config, words.overrides)
        else:
            recipe = load(ProbeRecipe, words.config, words.overrides)

        def check() -> None:
            batch, micro_batch = recipe.global_batch_size, recipe.micro_batch_size
            check_batch(batch, micro_batch, rank_info.world_size)

        is_bank = isinstance(recipe.readout, BankConfig)
        with session(
            Path(recipe.run_dir),
            rank_info,
            recipe.timeout_seconds,
            # A batch that the ranks cannot share evenly is refused before they wait for each other
            check=check if is_bank else lambda: None,
        ) as found:
            if found.rank_info.is_main:
                tell_device(found.rank_info)

            work = probe_with_bank if is_bank else probe_features
            if every_checkpoint:
                follow(recipe, Path(every_checkpoint), found, work)
            else:
                work(recipe, found.rank_info, found.make_guards)
    return 0


def follow(recipe: ProbeRecipe, run: Path, session: Session, work: Work) -> None:
    """Probe every checkpoint of a pretraining; see `Trajectory`.

    Args:
        recipe: How each is probed.
        run: The directory of the pretraining.
        session: This process, in the directory of the curve.
        work: Probes one.

    Raises:
        SurgstreamError: See `Trajectory`.
    """
    rank_info = session.rank_info
    log_file = Path(recipe.run_dir) / LOG

    def probe(recipe: ProbeRecipe, encoder: FrozenEncoder) -> bool:
        is_done = work(recipe, rank_info, session.make_guards, encoder)
        # A probe may log to its own directory
        configure_logging(rank_info, log_file if rank_info.is_main else None)
        return is_done

    configure_logging(rank_info, log_file if rank_info.is_main else None)
    Trajectory(recipe, run, rank_info).follow(probe)


def probe_with_bank(
    recipe: ProbeRecipe,
    rank_info: RankInfo,
    make_guards: Callable[[], Guards],
    encoder: FrozenEncoder | None = None,
) -> bool:
    """Train a bank of heads on the tokens or pooled features of the recipe's encoder.

    Args:
        recipe: The probe.
        rank_info: This rank's place; it has joined the others.
        make_guards: Makes what watches over the run; collective.
        encoder: The encoder; None reads that of the recipe.

    Returns:
        Whether all is done; otherwise the run was asked to stop, and bears a mark.

    Raises:
        SurgstreamError: The data, the encoder, the state or the processes do not fit, or all heads diverged.
    """
    leaks = from_main(partial(_judged, recipe))
    encoder = encoder or load_frozen(recipe.weights, recipe.encoder, recipe.seed)
    encoder = encoder.to(rank_info.device)
    corpus = open_corpus(recipe.data.corpus, recipe.data)
    task = open_task(
        recipe.task,
        recipe.labels,
        recipe.clips,
        corpus,
        num_frames=encoder.num_frames,
        of_pixels=True,
    )
    if rank_info.is_main:
        _warn_of_rate(recipe, task, encoder)
    return train_bank(recipe, task, encoder, rank_info, make_guards, leaks)


def probe_features(
    recipe: ProbeRecipe,
    rank_info: RankInfo,
    make_guards: Callable[[], Guards],
    encoder: FrozenEncoder | None = None,
) -> bool:
    """Fit or train a readout of stored features; see `on_features.run`, whose beginning the run directory tells."""

    def begin() -> Guards:
        from_main(partial(_prepare, recipe, rank_info))
        if rank_info.is_main:
            configure_logging(rank_info, Path(recipe.run_dir) / LOG)
        return make_guards()

    leaks = from_main(partial(_judged, recipe))
    return on_features.run(recipe, rank_info, begin, encoder, leaks)


def _prepare(recipe: ProbeRecipe, rank_info: RankInfo) -> None:
    """Prepare the run directory of a readout of features."""
    start = Progress(0, 0, {})
    prepare_run_dir(recipe, rank_info, start)
    keep_provenance(recipe, start, of_probe(recipe, find_judged_task(recipe.task).dataset))


def _judged(recipe: ProbeRecipe) -> Mapping[str, Any]:
    """What was found of the task's videos in what the encoder was trained on, as JSON has it; rank 0 calls it.

    Raises:
        EvaluationError: The encoder was trained on videos that it would be validated or tested on.
        SurgstreamError: See `judge_weights`.
    """
    corpus = open_storage(recipe.data.corpus, recipe.data.s3)
    task = with_ids(find_judged_task(recipe.task), recipe.labels, corpus)
    found = judge_weights(
        recipe.weights,
        task,
        corpus=recipe.data.corpus,
        known_as=recipe.encoder.known_as,
        settings=recipe.leaks,
        cache=outcomes_folder(recipe.run_dir),
        s3=recipe.data.s3,
    )
    log_verdict(found, task)
    refuse_contaminated(found, task, recipe.leaks, JUDGED if recipe.test else ("val",))
    return to_json(found)


def _warn_of_rate(recipe: ProbeRecipe, task: TaskClips, encoder: FrozenEncoder) -> None:
    """Warn where the frames of a clip are farther apart than in the encoder's training, or closer."""
    asked = recipe.clips.stride
    stride = task.config.clip.stride if asked is None else asked
    if stride == "uniform" or stride == 0:
        return

    fps = recipe.data.fps or next(iter(task.table.parts(task.config.dataset))).fps
    warning = check_rate(encoder, stride / fps)
    if warning:
        log.warning("%s", warning)
