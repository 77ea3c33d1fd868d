"""Line plots as SVG."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from surgstream.trainer.runs.axes import Axis, Scale, across, shortly, upwards

Point = tuple[float, float]

_HEAD = 64
_LEGEND_HEAD = 92
_LEFT = 64
_RIGHT = 16
_TOP = 36
_BOTTOM = 48
"""Margins of a panel around its axes."""

_LABELS_RIGHT = 116
"""The right margin where the last point may have a label."""

_LABEL_WIDTH = 36
_LETTER_WIDTH = 6.6
_COLOURS = (
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
)


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        name: Its entry in the legend; lines of one name look alike in all panels.
        points: Points (x, y), growing in x.
        labels: A text for each point; none by default.
        is_reference: Draw it thin and dashed, without dots: what the other lines are compared with.
        has_dots: Whether points have dots, as they should where they are few.
        intervals: The low and the high end of an interval of y around each point; not finite where one has none.
    """

    name: str
    points: Sequence[Point]
    labels: Sequence[str] = ()
    is_reference: bool = False
    has_dots: bool = True
    intervals: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes and its lines.

    Attributes:
        title: The quantity that is shown, with its unit.
        across: The name of x.
        lines: The lines.
        limit: A height to mark, and its name.
        is_logarithmic: Whether both axes are logarithmic.
        is_close: Whether only x is, whatever `is_logarithmic` says, and y shows what is there from near.
    """

    title: str
    across: str
    lines: Sequence[Line]
    limit: tuple[float, str] | None = None
    is_logarithmic: bool = True
    is_close: bool = False

    @property
    def scale(self) -> Scale:
        """The kind of its axes."""
        if self.is_close:
            return "logarithmic across"
        return "logarithmic" if self.is_logarithmic else "linear"


def draw(
    title: str, subtitle: str, panels: Sequence[Panel], *, width: int = 400, height: int = 270
) -> str:
    """Lay panels out two by two.

    Args:
        title: The title of the whole picture.
        subtitle: A line of text below it.
        panels: The plots.
        width: Width of a panel, in pixels.
        height: Its height, in pixels.

    Returns:
        The text of an SVG file, for light and dark pages alike.
    """
    marks = [
        '<rect class="page" width="100%" height="100%"/>',
        f'<text class="title" x="{_LEFT}" y="30">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="50">{escape(subtitle)}</text>',
    ]

    classes = _line_classes(panels)
    head = _HEAD
    if len(classes) > 1:
        head = _LEGEND_HEAD
        marks += _legend(classes)

    for number, panel in enumerate(panels):
        left = number % 2 * width
        top = head + number // 2 * height
        marks.append(f'<g transform="translate({left} {top})">')
        marks += _panel(panel, classes, width, height)
        marks.append("</g>")

    page_width = min(2, len(panels)) * width
    page_height = head + math.ceil(len(panels) / 2) * height
    size = f"0 0 {page_width} {page_height}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img">'
    style = f"  <style>{_style()}\n  </style>"
    return "\n".join([svg, style, *(f"  {mark}" for mark in marks), "</svg>\n"])


def _line_classes(panels: Sequence[Panel]) -> dict[str, str]:
    """The CSS class of each line, by its name."""
    classes: dict[str, str] = {}
    colours = itertools.cycle(range(len(_COLOURS)))
    for line in itertools.chain.from_iterable(panel.lines for panel in panels):
        if line.name not in classes:
            classes[line.name] = "reference" if line.is_reference else f"line{next(colours)}"
    return classes


def _legend(classes: Mapping[str, str]) -> list[str]:
    marks = []
    x = float(_LEFT)
    for name, css_class in classes.items():
        marks.append(f'<path class="{css_class}" d="M{x:.0f} 70h22"/>')
        marks.append(f'<text x="{x + 28:.0f}" y="74">{escape(name)}</text>')
        x += 54 + _LETTER_WIDTH * len(name)
    return marks


def _panel(panel: Panel, classes: Mapping[str, str], width: int, height: int) -> list[str]:
    has_labels = any(line.labels for line in panel.lines)
    right = width - (_LABELS_RIGHT if has_labels else _RIGHT)
    bottom = height - _BOTTOM
    to_x, to_y = _axes(panel, right, bottom)
    middle = (_LEFT + right) / 2

    marks = [
        f'<text class="panel" x="{_LEFT}" y="20">{escape(panel.title)}</text>',
        f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{escape(panel.across)}</text>',
    ]

    for tick in to_y.ticks:
        y = to_y(tick)
        marks.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        marks.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>')

    # A number is left out where it would run into the last one
    labelled = -math.inf
    for tick in to_x.ticks:
        x = to_x(tick)
        if x - labelled > _LABEL_WIDTH:
            labelled = x
            where = f'x="{x:.1f}" y="{bottom + 18}" text-anchor="middle"'
            number = shortly(tick) if panel.is_close else f"{tick:g}"
            marks.append(f"<text {where}>{number}</text>")

    if panel.limit:
        limit, name = panel.limit
        y = to_y(limit)
        marks.append(f'<path class="reference" d="M{_LEFT} {y:.1f}H{right}"/>')
        marks.append(f'<text x="{right}" y="{y - 5:.1f}" text-anchor="end">{escape(name)}</text>')

    for line in panel.lines:
        marks += _line(line, classes[line.name], to_x, to_y)
    return marks


def _line(line: Line, css_class: str, to_x: Axis, to_y: Axis) -> list[str]:
    places = [(to_x(x), to_y(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    marks = [f'<path class="{css_class}" d="M{path}"/>']

    # `intervals` is empty, or has one for each point
    for (x, _), (low, high) in zip(places, line.intervals, strict=False):
        if math.isfinite(low) and math.isfinite(high):
            marks.append(
                f'<path class="{css_class} interval" d="M{x:.1f} {to_y(low):.1f}V{to_y(high):.1f}"/>'
            )

    if line.has_dots and not line.is_reference:
        dot = f'class="{css_class} dot" r="3"'
        marks += [f'<circle {dot} cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in places]

    # `labels` is empty, or has one for each point
    for (x, y), label in zip(places, line.labels, strict=False):
        where = f'x="{x + 8:.1f}" y="{y + 20:.1f}"'
        marks.append(f'<text class="label" {where}>{escape(label)}</text>')
    return marks


def _axes(panel: Panel, right: float, bottom: float) -> tuple[Axis, Axis]:
    points = [*itertools.chain.from_iterable(line.points for line in panel.lines)]
    ys = [y for _, y in points]
    for line in panel.lines:
        ys += [end for ends in line.intervals for end in ends if math.isfinite(end)]
    if panel.limit:
        ys.append(panel.limit[0])

    to_x = across([x for x, _ in points], panel.scale, _LEFT, right)
    return to_x, upwards(ys, panel.scale, bottom, _TOP)


def _style() -> str:
    light = _theme(
        page="#ffffff",
        text="#57606a",
        title="#1f2328",
        grid="#d8dee4",
        lines=[colour for colour, _ in _COLOURS],
    )
    dark = _theme(
        page="#0d1117",
        text="#9198a1",
        title="#f0f6fc",
        grid="#2b3138",
        lines=[colour for _, colour in _COLOURS],
    )

    return f"""
    {light}
    text {{ font: 12px Helvetica, Arial, sans-serif; }}
    .title {{ font-size: 16px; font-weight: bold; }}
    .panel {{ font-size: 13px; font-weight: bold; }}
    .label {{ font-weight: bold; stroke-width: 4; paint-order: stroke; }}
    path {{ fill: none; stroke-width: 2; stroke-linecap: round; }}
    .dot {{ stroke-width: 0; }}
    .interval {{ stroke-width: 1.5; stroke-opacity: 0.6; }}
    .grid {{ stroke-width: 1; }}
    .reference {{ stroke-width: 1.5; stroke-dasharray: 5 4; }}
    @media (prefers-color-scheme: dark) {{
    {dark}
    }}"""


def _theme(*, page: str, text: str, title: str, grid: str, lines: Sequence[str]) -> str:
    rules = [
        f".page {{ fill: {page}; }}",
        f"text {{ fill: {text}; }}",
        f".title, .panel, .label {{ fill: {title}; }}",
        f".label {{ stroke: {page}; }}",
        f".grid {{ stroke: {grid}; }}",
        f".reference {{ stroke: {text}; }}",
    ]
    for number, colour in enumerate(lines):
        rules.append(f".line{number} {{ stroke: {colour}; }}")
        rules.append(f"circle.line{number} {{ fill: {colour}; }}")
    return " ".join(rules)
