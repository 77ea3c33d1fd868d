"""What a readout of features leaves in its run directory."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.files import write_atomically
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.runs.files import GRID


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of several readouts to choose from.

    Attributes:
        settings: What it differs in from the others.
        score: The task's main metric on the validation videos; NaN where it is undefined or there are none.
        details: What else is told of it.
    """

    settings: Mapping[str, float]
    score: float
    details: Mapping[str, Any]


def choose(candidates: Sequence[Candidate], task: TaskConfig) -> int:
    """The number of the best candidate, of equals the first one; of one alone that one.

    Raises:
        EvaluationError: None of several has a score.
    """
    if len(candidates) == 1:
        return 0
    sign = 1 if find_metric(task.main).higher_is_better else -1
    known = [i for i, found in enumerate(candidates) if math.isfinite(found.score)]
    if not known:
        raise EvaluationError(
            f"{task.name}: expected {task.main} of the validation videos to choose by, got none that is "
            "defined; did all networks diverge, or do these videos lack its classes?"
        )
    return max(known, key=lambda i: (sign * candidates[i].score, -i))


def on_the_edge(candidates: Sequence[Candidate], chosen: int) -> str | None:
    """A sentence where the best of three or more candidates has the least or the greatest value of its setting."""
    ((name, value),) = candidates[chosen].settings.items()
    values = sorted(found.settings[name] for found in candidates)
    if len(values) < 3 or value not in (values[0], values[-1]):
        return None
    return f"the best {name} {value:g} is on the edge of the grid; a better one may lie beyond"


def keep_grid(
    run_dir: Path,
    readout: str,
    task: TaskConfig,
    candidates: Sequence[Candidate],
    chosen: int,
    told: Sequence[str],
) -> None:
    """Write what was to choose from, and the choice, to `grid.json`; scores that are undefined are null.

    `val` is what the chosen one scored on the validation videos.
    """
    tree = {
        "readout": readout,
        "task": task.name,
        "metric": task.main,
        "higher_is_better": find_metric(task.main).higher_is_better,
        "candidates": [
            {**found.settings, "score": finite(found.score), **found.details}
            for found in candidates
        ],
        "chosen": {"candidate": chosen, "score": finite(candidates[chosen].score)},
        "val": finite(candidates[chosen].score),
        "told": list(told),
    }
    write_atomically(run_dir / GRID, json.dumps(tree, indent=1) + "\n")


def finite(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return value if math.isfinite(value) else None
