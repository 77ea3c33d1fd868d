"""The page of a suite: its table, and below everything about each task."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from surgstream.trainer.evaluation.report.document import whole_page
from surgstream.trainer.evaluation.report.numbers import facts
from surgstream.trainer.evaluation.report.page import draw_sections
from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.costs import draw_costs
from surgstream.trainer.suite.grids import draw_grid
from surgstream.trainer.suite.growth import draw_labels, draw_pretraining, spent_on
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import (
    HOW_TO_READ,
    YARDSTICKS,
    caveats,
    clean_part_of,
    encoders,
    marks_of,
    metric_of,
    published_of,
    reasons,
    row_of,
    title_of,
    value_of,
)

_MAX_SIGHTINGS = 8
"""Sentences about leaks that a value shows when it is hovered over; the notes of its task have more."""


def draw_page(suite: SuiteConfig, entries: Sequence[Entry], out: Path) -> str:
    """Write the page.

    Args:
        suite: The suite.
        entries: Its entries.
        out: Its directory, where the runs of the cells lie.

    Returns:
        The content of an HTML file.
    """
    parts = [
        f"<h1>{escape(suite.title)}</h1>\n<p>{escape(HOW_TO_READ)}</p>\n",
        _table(entries),
        _list("", [*suite.notes, *reasons(entries)]),
        _list("Caveats of published values", list(caveats(entries))),
        _curves(entries),
        draw_costs(entries, out),
        *(_section(entry, out) for entry in entries),
    ]
    return whole_page(suite.title, "".join(parts))


def _table(entries: Sequence[Entry]) -> str:
    names = encoders(entries)
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    heads += "".join(f'<th class="yardstick">{escape(name)}</th>' for name in YARDSTICKS)
    lines = [
        f'<tr><th>task</th><th class="left">protocol</th><th class="left">metric</th>{heads}</tr>\n'
    ]
    for entry in entries:
        lines.append(_line(entry, names))
        lines += _published(entry, len(names))
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'


def _line(entry: Entry, names: Sequence[str]) -> str:
    link = f'<a href="#{_anchor(entry)}">{escape(title_of(entry))}</a>'
    said = f'<td class="left">{escape(entry.protocol)}</td><td class="left">{escape(metric_of(entry))}</td>'
    cells = [_cell(entry, name, "") for name in names]
    cells += [_cell(entry, name, "yardstick") for name in YARDSTICKS]
    return f"<tr><td>{link}</td>{said}{''.join(cells)}</tr>\n"


def _cell(entry: Entry, name: str, kind: str) -> str:
    value, ends = value_of(entry, name)
    text = f"<b>{escape(value)}</b>" if name == entry.best else escape(value)
    if ends:
        text += f"<small>{escape(ends)}</small>"
    for mark in marks_of(entry, name):
        text += f' <span class="mark {escape(mark.split()[0])}">{escape(mark)}</span>'
    if clean := clean_part_of(entry, name):
        text += f"<small>{escape(clean)}</small>"
    row = row_of(entry, name)
    how = row.leaks.how if row and row.leaks else ()
    why = "; ".join(filter(None, [entry.reasons.get(name, ""), *how[:_MAX_SIGHTINGS]]))
    return f'<td class="{kind}" title="{escape(why)}">{text}</td>'


def _published(entry: Entry, num_encoders: int) -> Iterator[str]:
    if not entry.result:
        return
    for row, value in published_of(entry.result):
        letters = f" <sup>{escape(' '.join(row.caveats))}</sup>" if row.caveats else ""
        yield (
            f'<tr class="published"><td></td><td class="left" colspan="2">published: {escape(row.model)}'
            f'{letters}</td><td class="left" colspan="{num_encoders + len(YARDSTICKS)}">{escape(value)}: '
            f"{escape(row.protocol)}; {escape(row.source)}</td></tr>\n"
        )


def _list(title: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    head = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f'{head}<ul class="soft">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>\n'


def _section(entry: Entry, out: Path) -> str:
    """Everything about a task under a protocol, folded away."""
    head = f'<h2 id="{_anchor(entry)}">{escape(title_of(entry))} <small>{escape(entry.protocol)}</small></h2>\n'
    if entry.result is None or entry.space is None:
        return head + _list("", [": ".join(filter(None, each)) for each in entry.reasons.items()])

    sections = draw_sections(entry.result, entry.videos, entry.space, entry.pictures)
    return (
        f"{head}<p>{escape(facts(entry.result))}.</p>\n{_grids(entry, out)}"
        f"<details><summary>scores, comparisons, cases</summary>\n{sections}</details>\n"
    )


def _grids(entry: Entry, out: Path) -> str:
    """The grid of each encoder's first seed."""
    drawn = {}
    for cell in entry.cells:
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


def _curves(entries: Sequence[Entry]) -> str:
    """What more pretraining and more labels are worth, where the suite has several amounts of them."""
    models = {cell.model.name: cell.model for entry in entries for cell in entry.cells}
    told = {name: spent_on(model) for name, model in models.items()}
    spent = {name: found for name, found in told.items() if found}
    pictures = [draw_pretraining(entry, spent) for entry in entries]

    by_task: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        by_task.setdefault((entry.task, entry.protocol), []).append(entry)
    pictures += [draw_labels(found) for found in by_task.values()]

    figures = [_picture(svg) for svg in pictures if svg]
    return f"<h2>What more is worth</h2>\n{''.join(figures)}" if figures else ""


def _picture(svg: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f'<figure><img alt="" src="data:image/svg+xml;base64,{data}"></figure>\n'


def _anchor(entry: Entry) -> str:
    name = f"{entry.task}-{entry.protocol}-{entry.share:g}"
    return "".join(letter if letter.isalnum() else "-" for letter in name)
