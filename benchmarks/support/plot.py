"""Small plots of some lines each, as SVG: what a table of many sizes hides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from surgstream.launch.scaling import Axis, axis_ticks

_PANEL_WIDTH, _PANEL_HEIGHT, _TOP = 400, 270, 92
_LEFT, _RIGHT, _ABOVE, _BELOW = 64, 384, 36, 222
_LABEL_WIDTH = 36
_COLOURS = (
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
)


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: What is shown, with its unit.
        lines: Points (x, y) of each line, by its name, growing in x; all numbers above 0.
        limit: A height to mark, and what it is called.
    """

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    limit: tuple[float, str] | None = None


def draw(title: str, subtitle: str, across: str, panels: Sequence[Panel]) -> str:
    """Lay panels out two by two, both axes of each logarithmic, as an SVG file's text.

    Args:
        title: Of them all.
        subtitle: A line below it.
        across: What x counts.
        panels: The plots, of lines of the same names.

    Returns:
        The file.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: f"line{i % len(_COLOURS)}" for i, name in enumerate(names)}
    marks = [
        '<rect class="page" width="100%" height="100%"/>',
        f'<text class="title" x="{_LEFT}" y="30">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="50">{escape(subtitle)}</text>',
    ]

    x = float(_LEFT)
    for name in names:
        marks.append(f'<path class="{colours[name]}" d="M{x:.0f} 70h22"/>')
        marks.append(f'<text x="{x + 28:.0f}" y="74">{escape(name)}</text>')
        # A letter of 12 px is some 6.6 px wide
        x += 54 + 6.6 * len(name)

    for i, panel in enumerate(panels):
        left, top = i % 2 * _PANEL_WIDTH, _TOP + i // 2 * _PANEL_HEIGHT
        marks += [
            f'<g transform="translate({left} {top})">',
            *_panel(panel, across, colours),
            "</g>",
        ]

    width, height = (
        min(2, len(panels)) * _PANEL_WIDTH,
        _TOP + math.ceil(len(panels) / 2) * _PANEL_HEIGHT,
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join(
        [svg, f"  <style>{_style()}\n  </style>", *(f"  {mark}" for mark in marks), "</svg>\n"]
    )


def _panel(panel: Panel, across: str, colours: Mapping[str, str]) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    xs = [x for x, _ in points]
    ticks = axis_ticks([y for _, y in points] + ([panel.limit[0]] if panel.limit else []))
    to_x = Axis(min(xs) / 1.15, max(xs) * 1.15, _LEFT, _RIGHT)
    to_y = Axis(ticks[0], ticks[-1], _BELOW, _ABOVE)

    marks = [
        f'<text class="panel" x="{_LEFT}" y="20">{escape(panel.title)}</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BELOW + 36}" text-anchor="middle">{escape(across)}</text>',
    ]
    for tick in ticks:
        marks.append(f'<path class="grid" d="M{_LEFT} {to_y(tick):.1f}H{_RIGHT}"/>')
        marks.append(
            f'<text x="{_LEFT - 8}" y="{to_y(tick) + 4:.1f}" text-anchor="end">{tick:,g}</text>'
        )

    # A number is left out where it would run into the last one
    labelled = -math.inf
    for number in sorted(set(xs)):
        if to_x(number) - labelled > _LABEL_WIDTH:
            labelled = to_x(number)
            marks.append(
                f'<text x="{labelled:.1f}" y="{_BELOW + 18}" text-anchor="middle">{number:g}</text>'
            )

    if panel.limit:
        height, name = panel.limit
        marks.append(f'<path class="limit" d="M{_LEFT} {to_y(height):.1f}H{_RIGHT}"/>')
        marks.append(
            f'<text x="{_RIGHT}" y="{to_y(height) - 5:.1f}" text-anchor="end">{escape(name)}</text>'
        )

    for name, line in panel.lines.items():
        places = [f"{to_x(x):.1f} {to_y(y):.1f}" for x, y in line]
        marks.append(f'<path class="{colours[name]}" d="M{"L".join(places)}"/>')
        # A path of no length is drawn as its round ends, a dot
        marks += [f'<path class="{colours[name]} dot" d="M{place}h0"/>' for place in places]
    return marks


def _style() -> str:
    return f"""
    {_theme("#ffffff", "#57606a", "#1f2328", "#d8dee4", [light for light, _ in _COLOURS])}
    text {{ font: 12px Helvetica, Arial, sans-serif; }}
    .title {{ font-size: 16px; font-weight: bold; }}
    .panel {{ font-size: 13px; font-weight: bold; }}
    path {{ fill: none; stroke-width: 2; stroke-linecap: round; }}
    .dot {{ stroke-width: 6; }}
    .grid {{ stroke-width: 1; }}
    .limit {{ stroke-width: 1.5; stroke-dasharray: 5 4; }}
    @media (prefers-color-scheme: dark) {{
    {_theme("#0d1117", "#9198a1", "#f0f6fc", "#2b3138", [dark for _, dark in _COLOURS])}
    }}"""


def _theme(page: str, text: str, title: str, grid: str, lines: Sequence[str]) -> str:
    strokes = " ".join(f".line{i} {{ stroke: {colour}; }}" for i, colour in enumerate(lines))
    return (
        f".page {{ fill: {page}; }} text {{ fill: {text}; }} .title, .panel {{ fill: {title}; }} "
        f".grid {{ stroke: {grid}; }} .limit {{ stroke: {text}; }} {strokes}"
    )
