"""The same probe of every checkpoint of a pretraining, which may still be running."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text
from surgstream.configs.loading import build, override, read_tree
from surgstream.trainer.distributed import RankInfo, all_gather, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import RANDOM
from surgstream.trainer.engine.checkpoint_files import STATE, checkpoint_of, damage, read_state
from surgstream.trainer.errors import CheckpointError, EvaluationError, ModelError
from surgstream.trainer.evaluation.tasks.opening import find_judged_task
from surgstream.trainer.lineage.judging import outcomes_folder
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.curve import RANDOM_STEP, Curve, CurvePoint
from surgstream.trainer.runs.files import (
    CHECKPOINTS,
    GRID,
    REQUEUE,
    checkpoint_name,
    checkpoints_in,
    read_mark,
    remove_marks,
    write_mark,
)

log = logging.getLogger(__name__)

Probe = Callable[[ProbeRecipe, FrozenEncoder], bool]
"""Runs a recipe with its encoder; whether it is done, rather than stopped."""


class Weights(NamedTuple):
    """Weights that get a point.

    Attributes:
        step: The step of the pretraining; 0 of random ones.
        checkpoint: The checkpoint; of random weights the directory of the run.
        identity: See `CurvePoint.checkpoint`.
    """

    step: int
    checkpoint: Path
    identity: str

    @property
    def word(self) -> str:
        """As a recipe's `weights`."""
        is_random = self.step == RANDOM_STEP
        return f"{RANDOM}:{self.checkpoint}" if is_random else str(self.checkpoint)


def load_recipe(path: str | Path, overrides: Sequence[str]) -> ProbeRecipe:
    """Read the recipe of a curve, which names no weights and never asks the test; see `configs.loading.load`.

    Raises:
        ConfigError: It does name weights, or a key or value is wrong.
    """
    tree = read_tree(path)
    for word in overrides:
        override(tree, word)

    if tree.get("weights") is not None:
        raise ConfigError(
            "weights: expected none beside --every-checkpoint, which takes those of the run's "
            f"checkpoints, got {tree['weights']!r:.80}"
        )
    if tree.get("test") not in (None, False):
        raise ConfigError(
            "test: expected false beside --every-checkpoint, as test videos are asked once, and not "
            f"of every checkpoint, got {tree['test']!r:.80}"
        )
    # Of each point another
    tree |= {"weights": RANDOM, "test": False}
    return build(ProbeRecipe, tree, where=str(path))


class Trajectory:
    """Makes the points that a curve lacks, oldest first, each in a directory `step_XXXXXXXX` of its own.

    Args:
        recipe: How each point is made.
        run: The directory of the pretraining.
        rank_info: This rank's place.

    Raises:
        ConfigError: The task has no validation videos, or the recipe's directory is that of the run.
    """

    def __init__(self, recipe: ProbeRecipe, run: Path, rank_info: RankInfo) -> None:
        task = find_judged_task(recipe.task)
        if not task.has_videos("val"):
            raise ConfigError(
                f"task: expected one with validation videos, as test videos are asked once, and not of "
                f"every checkpoint, got {task.name}"
            )

        self._run_dir = Path(recipe.run_dir)
        run = run.absolute()
        if self._run_dir.absolute() == run:
            raise ConfigError(
                f"run_dir: expected another directory than that of the run, got {run}"
            )
        self._recipe = recipe
        self._rank_info = rank_info
        self._curve = Curve(recipe=recipe, task=task, run=run)
        self._passed_over: set[Path] = set()

    def follow(self, probe: Probe) -> bool:
        """Make points until every whole checkpoint has one, those that are saved meanwhile as well; collective.

        Args:
            probe: Makes one.

        Returns:
            Whether all is done; otherwise it was told to stop, and the directory bears a mark.

        Raises:
            CheckpointError: The run has saved no checkpoint, or has others than those of the curve.
            EvaluationError: The curve is another recipe's or run's.
            SurgstreamError: See `probe`.
        """
        from_main(self._begin)
        while weights := from_main(self._next):
            encoder = self._load(weights)
            if encoder is None:
                self._passed_over.add(weights.checkpoint)
                continue

            recipe = self._recipe_of(weights)
            cell = Path(recipe.run_dir)
            from_main(partial(_prepare, cell))
            is_done = probe(recipe, encoder)
            if not is_done:
                from_main(partial(self._mark, cell))
                return False
            from_main(partial(self._add, weights))
        return True

    def _begin(self) -> None:
        """Read what there is, and draw it with the losses of today."""
        self._curve.read()
        if not checkpoints_in(self._curve.run / CHECKPOINTS):
            raise CheckpointError(
                f"{self._curve.run}: expected a run that has saved a checkpoint, got one without; call "
                "again once it has"
            )
        self._curve.draw()

    def _next(self) -> Weights | None:
        """The first weights without a point."""
        root = self._curve.run / CHECKPOINTS
        if self._curve.value_at(RANDOM_STEP) is None and self._curve.run not in self._passed_over:
            return Weights(RANDOM_STEP, self._curve.run, RANDOM)

        for checkpoint in reversed(checkpoints_in(root)):
            if checkpoint in self._passed_over:
                continue
            step = int(checkpoint.name.removeprefix("step_"))
            found = self._is_new(checkpoint, step)
            if found:
                return Weights(step, checkpoint, found)
        return None

    def _is_new(self, checkpoint: Path, step: int) -> str | None:
        """The identity of a checkpoint that is whole and has no point; None of others."""
        try:
            identity = hashlib.sha256(read_text(checkpoint / STATE).encode()).hexdigest()
        except (OSError, ValueError):
            return None  # the run has just deleted it

        point = self._curve.value_at(step)
        if point is None:
            found = damage(checkpoint)
            if found is None:
                return identity
            log.warning("%s is passed over: %s", checkpoint, found)
            self._passed_over.add(checkpoint)
        elif point.checkpoint != identity:
            raise CheckpointError(
                f"{checkpoint}: expected the checkpoint that {self._curve.path} has the value of, got "
                "another one of this step; choose another run_dir"
            )
        return None

    def _load(self, weights: Weights) -> FrozenEncoder | None:
        """The encoder on every rank; None where the run has deleted its checkpoint meanwhile. Collective."""
        encoder = None
        error: Exception | None = None
        try:
            seed = self._recipe.seed
            if weights.step == RANDOM_STEP:
                # As the run itself began, where it had no weights to begin with
                seed = int(read_state(checkpoint_of(weights.checkpoint))["config"]["seed"])
            encoder = load_frozen(weights.word, self._recipe.encoder, seed)
        except (CheckpointError, ModelError, OSError, LookupError, TypeError) as problem:
            error = problem

        errors = [found for found in all_gather(error and str(error)) if found]
        if encoder and not errors:
            return encoder.to(self._rank_info.device)
        if from_main(weights.checkpoint.is_dir):
            raise error or ModelError(errors[0])
        log.warning("%s is passed over: the run has deleted it", weights.checkpoint)
        return None

    def _recipe_of(self, weights: Weights) -> ProbeRecipe:
        run_dir = self._run_dir / checkpoint_name(weights.step)
        # All checkpoints descend from the same corpora, which one of them need compare
        cache = self._recipe.leaks.cache or str(outcomes_folder(str(self._run_dir)))
        leaks = replace(self._recipe.leaks, cache=cache)
        return replace(self._recipe, weights=weights.word, run_dir=str(run_dir), leaks=leaks)

    def _add(self, weights: Weights) -> None:
        value = read_val(self._run_dir / checkpoint_name(weights.step))
        self._curve.add(CurvePoint(step=weights.step, checkpoint=weights.identity, value=value))
        self._curve.draw()
        shown = "undefined" if value is None else f"{value:.4f}"
        what = "random weights" if weights.step == RANDOM_STEP else f"step {weights.step}"
        log.info("%s: %s %s", what, self._curve.task.main, shown)

    def _mark(self, cell: Path) -> None:
        """Hand the mark of a point on to the whole."""
        why = read_mark(cell, REQUEUE) or "stopped"
        write_mark(self._run_dir, REQUEUE, f"{cell.name}: {why}")


def _prepare(cell: Path) -> None:
    cell.mkdir(parents=True, exist_ok=True)
    remove_marks(cell)


def read_val(cell: Path) -> float | None:
    """What the chosen readout of a probe's directory scored on validation videos; None where that is undefined.

    Raises:
        EvaluationError: Its `grid.json` does not say.
    """
    path = cell / GRID
    try:
        value = json.loads(read_text(path))["val"]
        return None if value is None else float(value)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise EvaluationError(
            f"{path}: expected the score of the validation videos, got: {error}"
        ) from None
