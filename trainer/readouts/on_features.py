"""Probes of stored features: ridge regression, neighbours, temporal networks."""

import logging
import shlex
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.trainer.distributed import RankInfo, all_gather, barrier, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.latency import measure_cost
from surgstream.trainer.engine.loop import Guards
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.evaluation.tasks.opening import find_judged_task
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.extraction import extract_features
from surgstream.trainer.features.opening import SPLITS, Extraction, open_extraction
from surgstream.trainer.host.names import node_name
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.lineage.verdict import LEAKS
from surgstream.trainer.readouts.config import KnnConfig, ProbeRecipe, RidgeConfig, TemporalConfig
from surgstream.trainer.readouts.fitted import fit_and_test
from surgstream.trainer.readouts.sequences import TemporalGrid
from surgstream.trainer.readouts.tested import check_results, is_tested
from surgstream.trainer.runs.costs import write_encoder_cost
from surgstream.trainer.runs.files import REQUEUE, tests_in, write_mark

log = logging.getLogger(__name__)

FEATURES = "features"
"""The folder of features in a run directory, where a recipe names no other."""


def run(
    recipe: ProbeRecipe,
    rank_info: RankInfo,
    make_guards: Callable[[], Guards],
    encoder: FrozenEncoder | None = None,
    leaks: Mapping[str, Any] | None = None,
) -> bool:
    """Extract the features that are missing, train or fit the readout, choose on validation, and test once.

    What is done stays done: shards with features, networks of a temporal readout, and the test. Results are
    `predictions/test.npz` and `val.npz`, of temporal readouts `test_seed0.npz` and so on, and `grid.json`.

    Args:
        recipe: The probe, with a readout of features.
        rank_info: This rank's place; it has joined the others.
        make_guards: Makes what watches over the run; collective.
        encoder: The encoder; None reads that of the recipe.
        leaks: What was found of the task's videos in what the encoder was trained on, as JSON; None is not known.

    Returns:
        Whether all is done; otherwise the run was asked to stop, and bears a mark.

    Raises:
        ConfigError: The recipe, the task and the corpus do not fit.
        SurgstreamError: Weights, corpus, labels or features cannot be read, no readout has a score, or the run
            directory has another run's results.
    """
    check(recipe)
    encoder = encoder or load_frozen(recipe.weights, recipe.encoder, recipe.seed)
    splits = SPLITS if recipe.test else tuple(name for name in SPLITS if name != "test")
    extraction = open_extraction(features_recipe(recipe), encoder, rank_info, splits)

    from_main(partial(check_results, recipe, extraction.store.spec.key))
    if from_main(partial(is_tested, recipe)):
        if rank_info.is_main:
            log.info("%s was tested, and its predictions stay as they are", recipe.run_dir)
        return True

    guards = make_guards()
    with closing(guards.agreement), closing(guards.profiler):
        done = _run(recipe, extraction, rank_info, guards, leaks)
        if not done:
            _mark(recipe, rank_info, guards)
    # Rank 0 serves the store in which the others look until they have closed.
    barrier()
    return done


def check(recipe: ProbeRecipe) -> None:
    """Make sure that a readout of features fits its task.

    Raises:
        ConfigError: It does not.
    """
    task = find_judged_task(recipe.task)
    _ = label_space(task).kind_of_rows
    assert task.labels

    name = recipe.readout.name
    if recipe.clips.balance != "none":
        raise ConfigError(
            f"clips.balance: expected none for {name}, which takes every row, got {recipe.clips.balance}"
        )
    if isinstance(recipe.readout, TemporalConfig):
        if task.labels.per_video:
            raise ConfigError(
                f"readout: expected attentive, linear, ridge or knn, as {task.name} labels whole videos, "
                "which are no sequences of labels, got temporal"
            )
        if task.kind == "number":
            raise ConfigError(
                f"readout: expected ridge, knn, attentive or linear, as {task.name} labels frames with "
                "numbers, got temporal, which predicts classes"
            )
    _check_choice(recipe.readout, task)


def _check_choice(readout: Any, task: TaskConfig) -> None:
    grids = {RidgeConfig: "penalties", KnnConfig: "neighbours", TemporalConfig: "lrs"}
    key = grids[type(readout)]
    values = getattr(readout, key)
    if not values or len({*values}) < len(values):
        raise ConfigError(
            f"readout.{key}: expected one value or more, each once, got {list(values)}"
        )
    if len(values) > 1 and not task.has_videos("val"):
        raise ConfigError(
            f"readout.{key}: expected one value, as {task.name} has no validation videos to choose by, "
            f"got {len(values)}"
        )
    if isinstance(readout, TemporalConfig) and not readout.seeds:
        raise ConfigError("readout.seeds: expected one or more, got none")


def features_recipe(recipe: ProbeRecipe) -> FeaturesRecipe:
    """The features that a probe needs, as `surgstream features` extracts them with the same settings."""
    return FeaturesRecipe(
        out=recipe.features or str(Path(recipe.run_dir) / FEATURES),
        weights=recipe.weights,
        seed=recipe.seed,
        task=recipe.task,
        labels=recipe.labels,
        clips=recipe.clips,
        encoder=recipe.encoder,
        micro_batch_size=recipe.micro_batch_size,
        timeout_seconds=recipe.timeout_seconds,
        data=recipe.data,
    )


def _run(
    recipe: ProbeRecipe,
    extraction: Extraction,
    rank_info: RankInfo,
    guards: Guards,
    leaks: Mapping[str, Any] | None,
) -> bool:
    """Do all of it; false where the ranks were told to stop."""
    task = extraction.task
    assert task
    beat = guards.watchdog.beat

    def stopping() -> bool:
        beat()
        guards.agreement.ask_all()
        return guards.agreement.stopping()

    if not extract_features(extraction, rank_info, beat=beat, stopping=stopping):
        return False
    barrier()

    run_dir = Path(recipe.run_dir)
    if rank_info.is_main:
        write_encoder_cost(run_dir, measure_cost(extraction.runner, rank_info))
    about = _about(recipe, extraction, task) | ({LEAKS: leaks} if leaks else {})
    readout = recipe.readout
    if isinstance(readout, TemporalConfig):
        grid = TemporalGrid(
            readout, extraction, task, run_dir=run_dir, seed=recipe.seed, rank_info=rank_info
        )
        if not grid.train(beat, stopping):
            return False
        finish = partial(grid.finish, about, with_test=recipe.test)
    else:
        assert isinstance(readout, RidgeConfig | KnnConfig)
        finish = partial(
            fit_and_test,
            readout,
            extraction,
            task,
            run_dir,
            rank_info.device,
            about,
            with_test=recipe.test,
        )

    beat()
    from_main(guards.check_owner)
    from_main(finish)
    beat()
    if rank_info.is_main:
        place = ["--labels", recipe.labels] if recipe.labels else ["--corpus", recipe.data.corpus]
        # Under one name they are seeds of one model.
        files = [f"{readout.name}={path}" for path in tests_in(run_dir)]
        words = ["surgstream", "evaluate", recipe.task, *files, *place]
        log.info("score it: %s", shlex.join(words))
    return True


def _about(recipe: ProbeRecipe, extraction: Extraction, task: TaskClips) -> dict[str, Any]:
    """What is told in the files of predictions."""
    spec = extraction.store.spec
    return {
        "made_by": "surgstream probe",
        "task": task.config.name,
        "task_version": task.config.version,
        "readout": recipe.readout.name,
        "weights": recipe.weights,
        "encoder": spec.weights,
        "encoder_sha256": spec.identity,
        "corpus_sha256": spec.corpus,
        "features": spec.key,
        "seed": recipe.seed,
    }


def _mark(recipe: ProbeRecipe, rank_info: RankInfo, guards: Guards) -> None:
    """Leave a mark that tells the next start why this one stopped."""
    signal_name, rank = guards.agreement.cause
    hosts = all_gather(node_name())
    if rank_info.is_main:
        why = f"{signal_name} on rank {rank} ({hosts[rank]}); what was done is kept"
        write_mark(Path(recipe.run_dir), REQUEUE, why)
        log.info("stopped: %s", why)
