"""The lines of a suite's table: what all encoders scored on a task under a protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from surgstream.configs.errors import SurgstreamError
from surgstream.trainer.evaluation.comparing import compare_models
from surgstream.trainer.evaluation.files import Judged, judge_files
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predictions.common import on_common_rows
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.scorer import Scorer
from surgstream.trainer.suite.cells import Cell, Places
from surgstream.trainer.suite.running import read_cell


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """What is known of a task under a protocol.

    Attributes:
        task: The task, as the suite names it.
        protocol: The protocol.
        share: The share of the training videos.
        cells: Its cells.
        result: Scores of the encoders that have any; None where none has, or they cannot be scored.
        videos: Their videos, of several seeds those of the first, by the encoder's name.
        space: What labels there are; None like `result`.
        pictures: Of masks and depth what was predicted for some frames, as HTML; else empty.
        best: The encoder that is better than every other by the paired test, corrected for their number; empty where
            none is, or where there is but one.
        reasons: Why an encoder has no score, by its name, and a sentence for all of them under the empty name.
    """

    task: str
    protocol: str
    share: float
    cells: tuple[Cell, ...]
    result: Result | None = None
    videos: dict[str, Videos] = field(default_factory=dict)
    space: LabelSpace | None = None
    pictures: str = ""
    best: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


def score_entries(cells: Sequence[Cell], places: Places) -> Iterator[Entry]:
    """Score the cells that are done, one line after another.

    Args:
        cells: All cells, those of a entry together.
        places: Where they lie.

    Raises:
        StorageError: A store fails.
    """
    by_line: dict[tuple[str, str, float], list[Cell]] = {}
    for cell in cells:
        by_line.setdefault(cell.line, []).append(cell)

    for (task, protocol, share), found in by_line.items():
        entry = Entry(task=task, protocol=protocol, share=share, cells=tuple(found))
        entry = replace(entry, reasons=dict(_reasons(found, places.out)))
        try:
            yield _scored(entry, places)
        except SurgstreamError as error:
            yield replace(entry, reasons={**entry.reasons, "": str(error)})


def _reasons(cells: Sequence[Cell], out: Path) -> Iterator[tuple[str, str]]:
    """For each encoder whose cells are not all done, why."""
    by_model: dict[str, list[Cell]] = {}
    for cell in cells:
        by_model.setdefault(cell.model.name, []).append(cell)

    for name, found in by_model.items():
        lacking = [cell for cell in found if not cell.predictions(out)]
        if not lacking:
            continue
        record = read_cell(lacking[0], out)
        why = f"{record.state}: {record.reason}" if record.reason else "not run yet"
        count = f"{len(lacking)} of {len(found)} seeds " if len(found) > 1 else ""
        yield name, f"{count}{why}"


def _scored(entry: Entry, places: Places) -> Entry:
    """The line with the scores of what is done."""
    files = _files(entry, places.out)
    if not files:
        return entry

    judged = judge_files(
        entry.task,
        files,
        labels=places.labels,
        corpus=entry.cells[0].data.corpus,
        compare=len({name for name, _ in files}) > 1,
    )
    return replace(
        entry,
        result=judged.result,
        videos=judged.videos,
        space=judged.space,
        pictures=judged.pictures,
        best=_best(judged),
    )


def _files(entry: Entry, out: Path) -> list[tuple[str, list[Path]]]:
    """For each seed of an encoder that is done, in all folds, its name and the files of its predictions."""
    folds = {cell.task for cell in entry.cells}
    by_seed: dict[tuple[str, int, int], list[Path]] = {}
    for cell in entry.cells:
        for number, path in enumerate(cell.predictions(out)):
            by_seed.setdefault((cell.model.name, cell.seed, number), []).append(path)
    return [(name, paths) for (name, _, _), paths in by_seed.items() if len(paths) == len(folds)]


def _best(judged: Judged) -> str:
    """The model that the paired test finds better than every other by the main metric; empty where it finds none."""
    task, models = judged.task, list(judged.models)
    if len(models) < 2:
        return ""
    sign = 1 if find_metric(task.main).higher_is_better else -1
    values = {
        row.name: sign * row.values[task.main].value
        for row in judged.result.models
        if task.main in row.values
    }
    known = {name: value for name, value in values.items() if value == value}
    if len(known) < len(models):
        return ""

    first = max(known, key=known.__getitem__)
    common = iter(on_common_rows([videos for model in models for videos in model.seeds]))
    models = [replace(model, seeds=tuple(next(common) for _ in model.seeds)) for model in models]
    ordered = sorted(models, key=lambda model: model.name != first)
    scorer = Scorer(
        replace(task, metrics=(task.main,), parts={}), judged.space, ordered[0].seeds[0]
    )
    comparisons = compare_models(scorer, ordered)
    return first if comparisons and all(each.says == "worse" for each in comparisons) else ""
