"""Small elements of the report's page, in HTML."""

from collections.abc import Iterable
from html import escape

from surgstream.shards.inspection.sprites import Sprite

COLOURS = {
    "black": "#1f2328",
    "text": "#8250df",
    "uniform": "#0969da",
    "test_card": "#bf8700",
    "out_of_body": "#1a7f37",
    "face": "#bc4c00",
    "writing": "#57606a",
}
"""Colours of findings by their kinds."""

LOST_COLOUR = "#ff8182"
KEPT_COLOUR = "#d8e6f3"


def clock(seconds: float) -> str:
    """Format a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def colour_key(colour: str, name: str) -> str:
    """Draw the key of a colour: a patch of it, and its meaning."""
    return f'<label><span class="key" style="background:{colour}"></span>{escape(name)}</label>'


def sheet(sprite: Sprite, alt: str, width: str) -> str:
    """Show a file of pictures, with all that the page's script needs to enlarge one of them.

    Args:
        sprite: The file.
        alt: Its description.
        width: Its width in CSS.
    """
    num_lines = -(-len(sprite.seconds) // sprite.columns)
    cell_width, cell_height = sprite.cell
    size = (
        f'width="{sprite.columns * cell_width}" height="{num_lines * cell_height}" '
        f'style="width:{width}"'
    )
    data = (
        f'data-columns="{sprite.columns}" data-cell="{_numbers(sprite.cell)}" '
        f'data-size="{_numbers(sprite.size)}" data-seconds="{_numbers(sprite.seconds)}"'
    )
    return (
        f'<img class="sheet" loading="lazy" alt="{escape(alt)}" src="{escape(sprite.file)}" '
        f"{size} {data}>"
    )


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.10g}" for value in values)
