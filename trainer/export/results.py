"""Results of an encoder for its model card: what `surgstream evaluate --out` has kept, reduced to a line a task."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surgstream.configs.files import read_text
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.report.result import Value

RANDOM_WEIGHTS = "random weights"
"""What the model with random weights of a result is called, whatever its own name."""

LEAKS_NOT_CHECKED = "leaks not checked"
"""The mark of a result that does not tell whether test videos were trained on."""

_LEAKS = ("clean", "contaminated", "unknown")
"""What verdicts about leaks begin with."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The result of an encoder on a task.

    Attributes:
        task: The task's name.
        title: Its title.
        split: The videos.
        num_videos: How many they are.
        protocol: What was put on top of the encoder; empty where the result does not tell.
        metric: The id of the task's main metric.
        about: Whether it is printed times 100, and whether more is better.
        value: The metric.
        beside: The same of yardsticks, and of random weights where the result has them, by name.
        marks: What a reader must know of it, whether it has leaks among that.
        encoder: The SHA-256 of the encoder that made the predictions; None where they do not tell.
    """

    task: str
    title: str
    split: str
    num_videos: int
    protocol: str
    metric: str
    about: dict[str, bool]
    value: Value
    beside: dict[str, Value] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    encoder: str | None = None


def read_results(files: Sequence[tuple[str, Path]]) -> tuple[Reported, ...]:
    """Read results, each a `result.json`.

    Args:
        files: The name of the model that is the encoder, empty where there is only one, and the file.

    Raises:
        EvaluationError: A file is no result, or the encoder is not among its models.
    """
    return tuple(_read(path, model) for model, path in files)


def _read(path: Path, model: str) -> Reported:
    try:
        tree = json.loads(read_text(path))
        row = _row_of(tree["rows"], model, path)
        return _reported(tree, row)
    except OSError as error:
        raise EvaluationError(
            f"{path}: expected a result.json of `surgstream evaluate --out`, got: "
            f"{error.strerror or error}"
        ) from None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise EvaluationError(
            f"{path}: expected a result.json of `surgstream evaluate --out`, got something else: "
            f"{error!r:.200}; evaluate again"
        ) from None


def _row_of(rows: Sequence[dict[str, Any]], model: str, path: Path) -> dict[str, Any]:
    """The row of the encoder."""
    models = {row["name"]: row for row in rows if row["kind"] == "model"}
    trained = [name for name, row in models.items() if not _is_random(row)]
    if not model and len(trained) == 1:
        return models[trained[0]]
    if model in models:
        return models[model]

    got = repr(model) if model else "no name"
    raise EvaluationError(
        f"{path}: expected one of its models {', '.join(models)} as the encoder, got {got}; write "
        f"--results MODEL=FILE{did_you_mean(model, models)}"
    )


def _reported(tree: dict[str, Any], row: dict[str, Any]) -> Reported:
    main = str(tree["main"])
    beside: dict[str, Value] = {}
    for other in tree["rows"]:
        is_random = other["kind"] == "model" and _is_random(other) and other is not row
        if other["kind"] == "yardstick" or is_random:
            name = RANDOM_WEIGHTS if is_random else str(other["name"])
            beside.setdefault(name, _value(other, main))

    metric = tree["metrics"][main]
    about = row["about"]
    protocol = about.get("protocol") or about.get("readout") or ""
    encoder = about.get("encoder_sha256")
    return Reported(
        task=str(tree["task"]),
        title=str(tree["title"]),
        split=str(tree["split"]),
        num_videos=int(tree["num_videos"]),
        protocol=str(protocol),
        metric=main,
        about={key: bool(metric[key]) for key in ("percent", "higher_is_better")},
        value=_value(row, main),
        beside=beside,
        marks=_marks(row),
        encoder=encoder if isinstance(encoder, str) else None,
    )


def _is_random(row: dict[str, Any]) -> bool:
    weights = row["about"].get("weights")
    return isinstance(weights, str) and weights.partition(":")[0] == "random"


def _marks(row: dict[str, Any]) -> tuple[str, ...]:
    """The marks of a row, and what it says of leaks, wherever it says that."""
    marks = [str(mark) for mark in row["marks"]]
    leaks = row["about"].get("leaks")
    verdict = leaks.get("verdict") if isinstance(leaks, dict) else leaks
    if isinstance(verdict, str) and verdict not in marks:
        marks.append(verdict)

    if not any(mark.startswith(_LEAKS) for mark in marks):
        marks.append(LEAKS_NOT_CHECKED)
    return tuple(marks)


def _value(row: dict[str, Any], metric: str) -> Value:
    """The metric of a row; NaN where it has none."""
    found = row["values"].get(metric, {})
    value, low, high = (_number(found.get(name)) for name in ("value", "low", "high"))
    return Value(value=value, low=low, high=high, interval="", averaged="")


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
