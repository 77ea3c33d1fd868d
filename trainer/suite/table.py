"""The table of a suite, in Markdown: a line for each task under a protocol, a column for each encoder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from surgstream.configs.columns import markdown
from surgstream.trainer.evaluation.report.numbers import NOTHING, interval, shown
from surgstream.trainer.evaluation.report.result import Result, Row
from surgstream.trainer.evaluation.tasks.config import Published
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.scoring import Entry

YARDSTICKS = ("constant", "time alone")
"""Yardsticks without an encoder that the table shows; the page has all."""

HOW_TO_READ = (
    "The task's main metric on test videos, in brackets its 95 % interval. Bold is better than every "
    "other encoder by Wilcoxon's signed-rank test over the same videos, at 5 % after Holm's "
    "correction; where nothing is bold, no such difference was found, or there are too few videos to "
    "find one."
)


def draw_table(suite: SuiteConfig, entries: Sequence[Entry]) -> str:
    """Write the table, what is published, and why values are missing."""
    names = encoders(entries)
    lines = [("task", "protocol", "metric", *names, *(f"*{name}*" for name in YARDSTICKS))]
    for entry in entries:
        cells = [_in_markdown(entry, name) for name in (*names, *YARDSTICKS)]
        lines.append((title_of(entry), entry.protocol, metric_of(entry), *cells))

    parts = [f"# {suite.title}\n", f"{HOW_TO_READ}\n", markdown(lines, left=3) + "\n"]
    if published := list(published_lines(entries)):
        parts.append("## Published\n")
        parts.append(
            markdown(
                [
                    ("task", "model", "value as printed there", "protocol", "source", "caveats"),
                    *published,
                ],
                left=6,
            )
            + "\n"
        )
        parts += [f"- {text}" for text in caveats(entries)]
        parts.append("")
    if notes := [*suite.notes, *reasons(entries)]:
        parts.append("## Notes\n")
        parts += [f"- {note}" for note in notes]
    return "\n".join(parts).rstrip() + "\n"


def encoders(entries: Sequence[Entry]) -> list[str]:
    """The names of all encoders, in the order in which they were asked for."""
    return list(dict.fromkeys(cell.model.name for entry in entries for cell in entry.cells))


def title_of(entry: Entry) -> str:
    """What a line's task is called, with the share of its training videos where that is not all."""
    title = entry.result.title if entry.result else Path(entry.task).stem
    return title if entry.share == 1 else f"{title}, {100 * entry.share:g} % of the training videos"


def metric_of(entry: Entry) -> str:
    """The main metric, and its unit; nothing where nothing is scored."""
    if not entry.result:
        return NOTHING
    about = entry.result.metrics[entry.result.main]
    return entry.result.main + (", %" if about["percent"] else "")


def row_of(entry: Entry, name: str) -> Row | None:
    """What an encoder or a yardstick scored."""
    rows = entry.result.rows if entry.result else ()
    return next((row for row in rows if row.name == name), None)


def value_of(entry: Entry, name: str) -> tuple[str, str]:
    """The main metric of an encoder or a yardstick, and its interval; a word where there is none."""
    row = row_of(entry, name)
    result = entry.result
    if result is None or row is None or result.main not in row.values:
        said = entry.reasons.get(name, entry.reasons.get("", ""))
        return ("failed" if "failed" in said else NOTHING), ""
    value = row.values[result.main]
    about = result.metrics[result.main]
    return shown(value.value, about), interval(value.low, value.high, about)


def marks_of(entry: Entry, name: str) -> tuple[str, ...]:
    """What a reader must know of a value."""
    row = row_of(entry, name)
    if row is None:
        return ()
    marks = [*row.marks]
    if row.leaks:
        marks.append(row.leaks.says)
    if name in entry.reasons:
        marks.append("not all seeds")
    return tuple(marks)


def clean_part_of(entry: Entry, name: str) -> str:
    """What an encoder scored on the videos that it was not trained on, where it was on some: as words."""
    result = entry.result
    beginning = f"{name}, clean "
    for row in result.rows if result else ():
        if row.kind == "remainder" and row.name.startswith(beginning) and result:
            about = result.metrics[result.main]
            value = row.values[result.main]
            videos = row.name.removeprefix(f"{name}, ")
            return f"{videos}: {shown(value.value, about)} {interval(value.low, value.high, about)}".rstrip()
    return ""


def published_of(result: Result) -> Iterator[tuple[Published, str]]:
    """What others have published of the main metric, or of it on parts of the test videos, as words."""
    main = result.main
    for row in result.published:
        if main in row.values:
            yield row, f"{row.values[main]:g}"
            continue

        values = {part: row.values.get(f"{main}_{part}") for part in result.parts}
        known = [f"{part} {value:g}" for part, value in values.items() if value is not None]
        if known:
            yield row, ", ".join(known)


def published_lines(entries: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    """A line for each published value; a task that has several protocols stands there once."""
    for result in _results(entries):
        for row, value in published_of(result):
            letters = " ".join(row.caveats)
            yield (result.title, row.model, value, row.protocol, row.source, letters)


def caveats(entries: Sequence[Entry]) -> Iterator[str]:
    """The caveats of published values; letters are a task's own."""
    for result in _results(entries):
        used = {letter for row, _ in published_of(result) for letter in row.caveats}
        for letter in sorted(used):
            yield f"{result.title}, {letter}: {result.caveats[letter]}"


def reasons(entries: Sequence[Entry]) -> Iterator[str]:
    """Why values are missing, each reason once."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for name, why in entry.reasons.items():
            words = [name, Path(entry.task).stem, Path(entry.protocol).stem]
            who = ", ".join(filter(None, words))
            found.setdefault(why, []).append(who)
    yield from (f"{'; '.join(who)}: {why}" for why, who in found.items())


def _results(entries: Sequence[Entry]) -> list[Result]:
    """The result of each task once, since what is published is of a task."""
    found = {entry.task: entry.result for entry in entries if entry.result}
    return list(found.values())


def _in_markdown(entry: Entry, name: str) -> str:
    value, ends = value_of(entry, name)
    text = f"**{value}**" if name and name == entry.best else value
    told = [*marks_of(entry, name), *filter(None, [clean_part_of(entry, name)])]
    marks = f" ({'; '.join(told)})" if told else ""
    return f"{text} {ends}".rstrip() + marks
