"""What a metric is against what was spent: on pretraining, by the checkpoints themselves, and on labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import Order
from surgstream.trainer.config import restore_recipe
from surgstream.trainer.engine.checkpoint_files import STATE, read_progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.evaluation.report.result import Value
from surgstream.trainer.model_sizes import count_sizes
from surgstream.trainer.runs.files import CHECKPOINTS
from surgstream.trainer.runs.growth import GrowthPoint, draw_growth
from surgstream.trainer.suite.models import SuiteModel
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import metric_of, row_of, title_of


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a checkpoint of ours was trained with.

    Attributes:
        run: The directory of its run.
        model: What was trained: the objective, and how many parameters it has where torch is there to count them.
        amounts: `frames` of its corpus, `steps`, and `operations` where torch is there to count them.
    """

    run: str
    model: str
    amounts: Mapping[str, float]


def spent_on(model: SuiteModel) -> Spent | None:
    """What an encoder was trained with; None of random weights, and of those that do not tell."""
    checkpoint = Path(model.weights)
    if model.is_random or not (checkpoint / STATE).exists():
        return None
    try:
        return _spent(checkpoint)
    except (CheckpointError, ConfigError):
        return None


def draw_pretraining(entry: Entry, spent: Mapping[str, Spent]) -> str:
    """Draw a line's metric against what its encoders were pretrained with, as SVG.

    Checkpoints of one run are joined; runs of one checkpoint each are, too, where they trained the same model.

    Args:
        entry: The line.
        spent: What encoders were trained with, by their names.

    Returns:
        Empty where there are no two to join.
    """
    runs = [found.run for found in spent.values()]
    has_several = len({*runs}) < len(runs)
    against: dict[str, list[GrowthPoint]] = {}
    for name, found in spent.items():
        value = _value_of(entry, name)
        if value is None:
            continue
        series = Path(found.run).name if has_several else found.model
        for amount, x in found.amounts.items():
            against.setdefault(amount, []).append(_point(entry, series, x, value))

    return _drawn([entry], {name: points for name, points in against.items() if _differ(points)})


def draw_labels(entries: Sequence[Entry]) -> str:
    """Draw the metric of lines that differ in their share of the training videos, as SVG; empty of one line."""
    names = dict.fromkeys(cell.model.name for entry in entries for cell in entry.cells)
    points = [
        _point(entry, name, 100 * entry.share, value)
        for name in names
        for entry in entries
        if (value := _value_of(entry, name)) is not None
    ]
    return _drawn(entries, {"training videos, %": points} if _differ(points) else {})


def _spent(checkpoint: Path) -> Spent | None:
    progress = read_progress(checkpoint)
    kept = progress.state.get("order"), progress.state.get("config")
    if not all(isinstance(each, dict) for each in kept):
        return None
    order = Order.from_json(progress.state["order"])
    recipe = restore_recipe(progress.state["config"], where=str(checkpoint))

    seen = [each.size for each in order.revisions[-1].datasets if each.in_corpus]
    amounts = {
        "frames of the corpus": float(sum(size.num_clips for size in seen)),
        "steps": float(progress.step),
    }
    sizes = count_sizes(recipe.objective)
    model: str = recipe.objective.name
    if sizes:
        model += f", {sizes.parameters['trainable'] / 1e6:.3g} million parameters"
        amounts["operations"] = float(progress.clips_seen * sum(sizes.flops.values()))

    folder = checkpoint.parent
    run = folder.parent if folder.name == CHECKPOINTS else checkpoint
    return Spent(
        run=str(run), model=model, amounts={name: x for name, x in amounts.items() if x > 0}
    )


def _value_of(entry: Entry, name: str) -> Value | None:
    row = row_of(entry, name)
    return row.values.get(entry.result.main) if row and entry.result else None


def _point(entry: Entry, series: str, x: float, value: Value) -> GrowthPoint:
    """A value as it stands in the table: shares in per cent."""
    assert entry.result
    unit = 100 if entry.result.metrics[entry.result.main]["percent"] else 1
    return GrowthPoint(
        series=series,
        x=x,
        value=unit * value.value,
        low=unit * value.low,
        high=unit * value.high,
    )


def _differ(points: Sequence[GrowthPoint]) -> bool:
    """Whether a series has two points to join."""
    found: dict[str, set[float]] = {}
    for point in points:
        if point.value == point.value:
            found.setdefault(point.series, set()).add(point.x)
    return any(len(amounts) > 1 for amounts in found.values())


def _drawn(entries: Sequence[Entry], against: Mapping[str, Sequence[GrowthPoint]]) -> str:
    if not against:
        return ""
    entry = entries[0]
    title = entry.result.title if entry.result else title_of(entry)
    return draw_growth(f"{title}, {entry.protocol}", metric_of(entry), against)
