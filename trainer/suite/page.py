"""The page of a suite: its table, and below everything about each task."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from surgstream.trainer.evaluation.report.document import whole_page
from surgstream.trainer.evaluation.report.numbers import NOTHING, counted, facts
from surgstream.trainer.evaluation.report.page import draw_sections
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.grids import draw_grid
from surgstream.trainer.suite.running import read_cell
from surgstream.trainer.suite.scoring import Column
from surgstream.trainer.suite.table import (
    HOW_TO_READ,
    YARDSTICKS,
    caveats,
    encoders,
    marks_of,
    metric_of,
    published_of,
    reasons,
    title_of,
    value_of,
)


def draw_page(suite: SuiteConfig, columns: Sequence[Column], out: Path) -> str:
    """Write the page.

    Args:
        suite: The suite.
        columns: Its columns.
        out: Its directory, where the runs of the cells lie.

    Returns:
        The content of an HTML file.
    """
    parts = [
        f"<h1>{escape(suite.title)}</h1>\n<p>{escape(HOW_TO_READ)}</p>\n",
        _table(columns),
        _list("", [*suite.notes, *reasons(columns)]),
        _list("Caveats of published values", list(caveats(columns))),
        _costs(columns, out),
        *(_section(column, out) for column in columns),
    ]
    return whole_page(suite.title, "".join(parts))


def _table(columns: Sequence[Column]) -> str:
    names = encoders(columns)
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    heads += "".join(f'<th class="yardstick">{escape(name)}</th>' for name in YARDSTICKS)
    lines = [
        f'<tr><th>task</th><th class="left">protocol</th><th class="left">metric</th>{heads}</tr>\n'
    ]
    for column in columns:
        lines.append(_line(column, names))
        lines += _published(column, len(names))
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'


def _line(column: Column, names: Sequence[str]) -> str:
    link = f'<a href="#{_anchor(column)}">{escape(title_of(column))}</a>'
    said = f'<td class="left">{escape(column.protocol)}</td><td class="left">{escape(metric_of(column))}</td>'
    cells = [_cell(column, name, "") for name in names]
    cells += [_cell(column, name, "yardstick") for name in YARDSTICKS]
    return f"<tr><td>{link}</td>{said}{''.join(cells)}</tr>\n"


def _cell(column: Column, name: str, kind: str) -> str:
    value, ends = value_of(column, name)
    text = f"<b>{escape(value)}</b>" if name == column.best else escape(value)
    if ends:
        text += f"<small>{escape(ends)}</small>"
    for mark in marks_of(column, name):
        text += f' <span class="mark {escape(mark.split()[-1])}">{escape(mark)}</span>'
    why = column.reasons.get(name, "")
    return f'<td class="{kind}" title="{escape(why)}">{text}</td>'


def _published(column: Column, num_encoders: int) -> Iterator[str]:
    if not column.result:
        return
    for row, value in published_of(column.result):
        letters = f" <sup>{escape(' '.join(row.caveats))}</sup>" if row.caveats else ""
        yield (
            f'<tr class="published"><td></td><td class="left" colspan="2">published: {escape(row.model)}'
            f'{letters}</td><td class="left" colspan="{num_encoders + len(YARDSTICKS)}">{value:g}: '
            f"{escape(row.protocol)}; {escape(row.source)}</td></tr>\n"
        )


def _list(title: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    head = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f'{head}<ul class="soft">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>\n'


def _costs(columns: Sequence[Column], out: Path) -> str:
    """The time that the runs of each column took."""
    names = encoders(columns)
    lines = [
        "<tr><th>hours</th>" + "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr>\n"
    ]
    for column in columns:
        cells = []
        for name in names:
            hours = [
                read_cell(cell, out).seconds / 3600
                for cell in column.cells
                if cell.model.name == name and cell.key
            ]
            text = (
                f"{sum(hours):.3g}<small>{counted(len(hours), 'run')}</small>"
                if any(hours)
                else NOTHING
            )
            cells.append(f"<td>{text}</td>")
        lines.append(
            f"<tr><td>{escape(title_of(column))}, {escape(column.protocol)}</td>{''.join(cells)}</tr>\n"
        )
    said = "Wall time of all seeds, from start to end of each run that was not killed."
    return (
        f'<h2>Cost</h2>\n<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'
        f'<p class="soft">{said}</p>\n'
    )


def _section(column: Column, out: Path) -> str:
    """Everything about a task under a protocol, folded away."""
    head = f'<h2 id="{_anchor(column)}">{escape(title_of(column))} <small>{escape(column.protocol)}</small></h2>\n'
    if column.result is None or column.space is None:
        return head + _list("", [": ".join(filter(None, each)) for each in column.reasons.items()])

    sections = draw_sections(column.result, column.videos, column.space)
    return (
        f"{head}<p>{escape(facts(column.result))}.</p>\n{_grids(column, out)}"
        f"<details><summary>scores, comparisons, cases</summary>\n{sections}</details>\n"
    )


def _grids(column: Column, out: Path) -> str:
    """The grid of each encoder's first seed."""
    drawn = {}
    for cell in column.cells:
        if cell.key and cell.model.name not in drawn:
            drawn[cell.model.name] = draw_grid(cell.folder(out))
    figures = [
        f"<figure>{grid}<figcaption>{escape(name)}</figcaption></figure>"
        for name, grid in drawn.items()
        if grid
    ]
    if not figures:
        return ""
    return f'<details><summary>grid of heads</summary><div class="plots">{"".join(figures)}</div></details>\n'


def _anchor(column: Column) -> str:
    return "".join(
        letter if letter.isalnum() else "-" for letter in f"{column.task}-{column.protocol}"
    )
