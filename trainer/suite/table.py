"""The table of a suite, in Markdown: a line for each task under a protocol, a column for each encoder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from surgstream.configs.columns import markdown
from surgstream.trainer.evaluation.report.numbers import NOTHING, interval, shown
from surgstream.trainer.evaluation.report.result import Result, Row
from surgstream.trainer.evaluation.tasks.config import Published
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.scoring import Column

YARDSTICKS = ("constant", "time alone")
"""Yardsticks without an encoder that the table shows; the page has all."""

HOW_TO_READ = (
    "The task's main metric on test videos, in brackets its 95 % interval. Bold is better than every "
    "other encoder by Wilcoxon's signed-rank test over the same videos, at 5 % after Holm's "
    "correction; where nothing is bold, no such difference was found, or there are too few videos to "
    "find one."
)


def draw_table(suite: SuiteConfig, columns: Sequence[Column]) -> str:
    """Write the table, what is published, and why values are missing."""
    names = encoders(columns)
    lines = [("task", "protocol", "metric", *names, *(f"*{name}*" for name in YARDSTICKS))]
    for column in columns:
        cells = [_in_markdown(column, name) for name in (*names, *YARDSTICKS)]
        lines.append((title_of(column), column.protocol, metric_of(column), *cells))

    parts = [f"# {suite.title}\n", f"{HOW_TO_READ}\n", markdown(lines, left=3) + "\n"]
    if published := list(published_lines(columns)):
        parts.append("## Published\n")
        parts.append(
            markdown(
                [("task", "model", "value", "protocol", "source", "caveats"), *published], left=6
            )
            + "\n"
        )
        parts += [f"- {text}" for text in caveats(columns)]
        parts.append("")
    if notes := [*suite.notes, *reasons(columns)]:
        parts.append("## Notes\n")
        parts += [f"- {note}" for note in notes]
    return "\n".join(parts).rstrip() + "\n"


def encoders(columns: Sequence[Column]) -> list[str]:
    """The names of all encoders, in the order in which they were asked for."""
    return list(dict.fromkeys(cell.model.name for column in columns for cell in column.cells))


def title_of(column: Column) -> str:
    """What a column's task is called."""
    return column.result.title if column.result else Path(column.task).stem


def metric_of(column: Column) -> str:
    """The main metric, and its unit; nothing where nothing is scored."""
    if not column.result:
        return NOTHING
    about = column.result.metrics[column.result.main]
    return column.result.main + (", %" if about["percent"] else "")


def row_of(column: Column, name: str) -> Row | None:
    """What an encoder or a yardstick scored."""
    rows = column.result.rows if column.result else ()
    return next((row for row in rows if row.name == name), None)


def value_of(column: Column, name: str) -> tuple[str, str]:
    """The main metric of an encoder or a yardstick, and its interval; a word where there is none."""
    row = row_of(column, name)
    result = column.result
    if result is None or row is None or result.main not in row.values:
        said = column.reasons.get(name, column.reasons.get("", ""))
        return ("failed" if "failed" in said else NOTHING), ""
    value = row.values[result.main]
    about = result.metrics[result.main]
    return shown(value.value, about), interval(value.low, value.high, about)


def marks_of(column: Column, name: str) -> tuple[str, ...]:
    """What a reader must know of a value."""
    row = row_of(column, name)
    marks = row.marks if row else ()
    return (*marks, "not all seeds") if row and name in column.reasons else marks


def published_of(result: Result) -> Iterator[tuple[Published, float]]:
    """What others have published of the main metric."""
    for row in result.published:
        if result.main in row.values:
            yield row, row.values[result.main]


def published_lines(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    """A line for each published value; a task that has several protocols stands there once."""
    for result in _results(columns):
        for row, value in published_of(result):
            letters = " ".join(row.caveats)
            yield (result.title, row.model, f"{value:g}", row.protocol, row.source, letters)


def caveats(columns: Sequence[Column]) -> Iterator[str]:
    """The caveats of published values; letters are a task's own."""
    for result in _results(columns):
        used = {letter for row, _ in published_of(result) for letter in row.caveats}
        for letter in sorted(used):
            yield f"{result.title}, {letter}: {result.caveats[letter]}"


def reasons(columns: Sequence[Column]) -> Iterator[str]:
    """Why values are missing, each reason once."""
    found: dict[str, list[str]] = {}
    for column in columns:
        for name, why in column.reasons.items():
            words = [name, Path(column.task).stem, Path(column.protocol).stem]
            who = ", ".join(filter(None, words))
            found.setdefault(why, []).append(who)
    yield from (f"{'; '.join(who)}: {why}" for why, who in found.items())


def _results(columns: Sequence[Column]) -> list[Result]:
    """The result of each task once, since what is published is of a task."""
    found = {column.task: column.result for column in columns if column.result}
    return list(found.values())


def _in_markdown(column: Column, name: str) -> str:
    value, ends = value_of(column, name)
    text = f"**{value}**" if name and name == column.best else value
    marks = "".join(f" ({mark})" for mark in marks_of(column, name))
    return f"{text} {ends}".rstrip() + marks
