"""The downstream curve of a pretraining: what its checkpoints score on validation videos, kept and drawn."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from surgstream.configs.changes import changes
from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text, write_atomically
from surgstream.configs.loading import build, to_tree
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.runs.files import METRICS
from surgstream.trainer.runs.json_lines import get_float, get_int, read_lines
from surgstream.trainer.runs.plot import Line, Panel, draw

CURVE = "curve.json"
PICTURE = "curve.svg"

RANDOM_STEP = 0
"""The step of random weights, which no checkpoint has."""

_MOST_LOSSES = 300
_OF_POINTS = ("weights", "run_dir")
"""Keys of a recipe that differ from point to point."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What the weights of a step score.

    Attributes:
        step: The step of the pretraining; 0 of random weights.
        checkpoint: SHA-256 of the checkpoint's state, which has those of its files; `random` of random weights.
        value: The task's main metric on the validation videos; None where it is undefined.
    """

    step: int
    checkpoint: str
    value: float | None


@dataclass(kw_only=True)
class Curve:
    """The curve of a run under one recipe.

    Attributes:
        recipe: How each point is made, whatever its `weights` and `run_dir`.
        task: The task.
        run: The directory of the pretraining.
        points: What is known, by growing steps.
    """

    recipe: ProbeRecipe
    task: TaskConfig
    run: Path
    points: list[CurvePoint] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return Path(self.recipe.run_dir) / CURVE

    def read(self) -> None:
        """Take over the points that are kept.

        Raises:
            EvaluationError: The file is damaged, or has the curve of another recipe or run.
        """
        try:
            tree = json.loads(read_text(self.path))
            recipe, run = dict(tree["recipe"]), str(tree["run"])
            points = [_point(row) for row in tree["points"]]
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise EvaluationError(
                f"{self.path}: expected a curve, got a file that cannot be read as one: {error}; delete "
                "it to begin anew"
            ) from None

        self._check_same(recipe, run)
        self.points = sorted(points, key=lambda point: point.step)

    def value_at(self, step: int) -> CurvePoint | None:
        """The point of a step."""
        return next((point for point in self.points if point.step == step), None)

    def add(self, point: CurvePoint) -> None:
        """Add a point, and keep all of them, whole or not at all."""
        self.points = sorted([*self.points, point], key=lambda found: found.step)
        recipe = to_tree(self.recipe)
        for key in _OF_POINTS:
            del recipe[key]
        tree = {
            "run": str(self.run),
            "metric": self.task.main,
            "higher_is_better": find_metric(self.task.main).higher_is_better,
            "recipe": recipe,
            "points": [asdict(found) for found in self.points],
        }
        write_atomically(self.path, json.dumps(tree, indent=1) + "\n")

    def draw(self) -> None:
        """Write the picture: the metric on the left, the loss of the pretraining on the right."""
        losses = [*_thinned([*_losses(self.run / METRICS)])]
        panels = []
        if lines := self._metric_lines(losses):
            panels.append(
                Panel(f"{self.task.main}, validation videos", "step", lines, is_logarithmic=False)
            )
        if losses:
            loss = Line("loss", losses, has_dots=False)
            panels.append(Panel("loss of the pretraining", "step", [loss], is_logarithmic=False))
        if not panels:
            return

        title = f"{self.task.name} while pretraining"
        protocol = self.recipe.protocol or self.recipe.readout.name
        svg = draw(title, f"{self.run.name}, {protocol}", panels)
        write_atomically(Path(self.recipe.run_dir) / PICTURE, svg)

    def _metric_lines(self, losses: Sequence[tuple[float, float]]) -> list[Line]:
        """The curve, and random weights as a line from one end to the other; without what is undefined."""
        known = [(point.step, point.value) for point in self.points if point.value is not None]
        of_checkpoints = [(float(step), value) for step, value in known if step != RANDOM_STEP]
        last = max((x for x, _ in (*of_checkpoints, *losses)), default=1.0)

        lines = [Line("checkpoints", of_checkpoints)] if of_checkpoints else []
        for step, value in known:
            if step == RANDOM_STEP:
                ends = [(0.0, value), (last, value)]
                lines.append(Line("random weights", ends, is_reference=True))
        return lines

    def _check_same(self, recipe: dict[str, Any], run: str) -> None:
        given = {key: getattr(self.recipe, key) for key in _OF_POINTS}
        try:
            # With today's defaults for keys that were not known yet
            saved = to_tree(build(ProbeRecipe, recipe | given, where=str(self.path)))
        except ConfigError:
            saved = recipe | given

        differences = changes(saved, self.recipe)
        if run != str(self.run):
            differences.append(f"run: {run} -> {self.run}")
        if differences:
            raise EvaluationError(
                f"{self.path}: expected the recipe that this curve began with, got another: "
                f"{'; '.join(differences)}; choose another run_dir"
            )


def _point(row: Any) -> CurvePoint:
    """A point as JSON has it; a LookupError, TypeError or ValueError where it is none."""
    step, checkpoint, value = row["step"], row["checkpoint"], row["value"]
    if type(step) is not int or not 0 <= step < 2**63 or not isinstance(checkpoint, str):
        raise ValueError("a point has no step or no checkpoint")
    if value is not None and not math.isfinite(float(value)):
        raise ValueError("a value is not finite")
    return CurvePoint(
        step=step, checkpoint=checkpoint, value=None if value is None else float(value)
    )


def _losses(path: Path) -> Iterator[tuple[float, float]]:
    """The steps and losses that a run has reported."""
    for line in read_lines(path):
        step = get_int(line, "step")
        loss = get_float(line, "loss/total")
        if step is not None and loss is not None:
            yield float(step), loss


def _thinned(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Some hundred points at most, each the mean of a stretch."""
    length = max(1, math.ceil(len(points) / _MOST_LOSSES))
    for start in range(0, len(points), length):
        xs, ys = zip(*points[start : start + length], strict=True)
        yield sum(xs) / len(xs), sum(ys) / len(ys)
