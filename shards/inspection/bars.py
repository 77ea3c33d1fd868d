"""Hours of video as bars, in an SVG file."""

import itertools
from collections.abc import Sequence
from html import escape

# In pixels: the left end of bars, the longest one, their height, and the gap between two.
_LEFT = 220
_LONGEST = 430
_BAR = 18
_GAP = 8
_WIDTH = _LEFT + _LONGEST + 110
_COLOURS = ("#0969da", "#1a7f37")
_STYLE = (
    "text { font: 12px Helvetica, Arial, sans-serif; fill: #57606a; } "
    ".title { font-size: 16px; font-weight: bold; fill: #1f2328; } "
    ".group { font-size: 13px; font-weight: bold; fill: #1f2328; }"
)


def draw_bars(
    title: str, groups: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str
) -> str:
    """Draw groups of horizontal bars to one scale, the longest of each group first.

    Args:
        title: The title of the figure.
        groups: The title of each group, and its bars with their names and lengths.
        unit: The unit of the lengths.

    Returns:
        The content of the file.
    """
    longest = max((_longest(bars) for _, bars in groups), default=0.0) or 1.0
    marks = [f'<text class="title" x="16" y="28">{escape(title)}</text>']
    top = 44

    for colour, (name, bars) in zip(itertools.cycle(_COLOURS), groups, strict=False):
        marks.append(f'<text class="group" x="16" y="{top + 18}">{escape(name)}</text>')
        top += 28
        for label, length in sorted(bars, key=lambda bar: (-bar[1], bar[0])):
            # At least a pixel, so that every bar is seen.
            width = max(length / longest * _LONGEST, 1)
            bar = f'x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}"'
            line = top + 14
            marks += [
                f'<text x="{_LEFT - 8}" y="{line}" text-anchor="end">{escape(_cut(label))}</text>',
                f'<rect {bar} fill="{colour}"/>',
                f'<text x="{_LEFT + width + 8:.1f}" y="{line}">{length:,.2f} {escape(unit)}</text>',
            ]
            top += _BAR + _GAP
        top += 12

    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    page = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([svg, f"<style>{_STYLE}</style>", page, *marks, "</svg>\n"])


def _longest(bars: Sequence[tuple[str, float]]) -> float:
    return max((length for _, length in bars), default=0.0)


def _cut(label: str) -> str:
    return label if len(label) <= 32 else label[:31] + "…"
