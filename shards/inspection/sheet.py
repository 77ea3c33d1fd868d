"""Contact sheets: a row of pictures for each thing, with what it is beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL_HEIGHT = 108
CELL_WIDTH = 192
_GAP, _LINE, _SIZE = 4, 18, 13
_PAGE, _TEXT, _EMPTY = (250, 250, 250), (36, 41, 47), (225, 228, 232)


@dataclass(frozen=True)
class Row:
    """Pictures side by side.

    Attributes:
        title: What they are of.
        cells: Each picture with a word below it.
    """

    title: str
    cells: Sequence[tuple[Image.Image, str]]


def draw_sheet(rows: Iterable[Row], columns: int) -> Image.Image:
    """Lay rows out below each other, each in as many lines as it needs.

    Args:
        rows: The rows, at least one.
        columns: Pictures in a line.

    Returns:
        RGB.
    """
    font = ImageFont.load_default(_SIZE)
    lines = [line for row in rows for line in _lines(row, columns)]
    # Every line has words below its pictures; the first one of a row a title above them
    heights = [_LINE * bool(title) + CELL_HEIGHT + _LINE + _GAP for title, _ in lines]
    sheet = Image.new("RGB", (columns * (CELL_WIDTH + _GAP) + _GAP, sum(heights) + _GAP), _PAGE)
    draw, top = ImageDraw.Draw(sheet), _GAP

    for (title, cells), height in zip(lines, heights, strict=True):
        if title:
            draw.text((_GAP, top), title, _TEXT, font)
        for column, (picture, word) in enumerate(cells):
            left, above = _GAP + column * (CELL_WIDTH + _GAP), top + _LINE * bool(title)
            draw.rectangle((left, above, left + CELL_WIDTH - 1, above + CELL_HEIGHT - 1), _EMPTY)
            small = ImageOps.contain(picture, (CELL_WIDTH, CELL_HEIGHT))
            sheet.paste(
                small,
                (left + (CELL_WIDTH - small.width) // 2, above + (CELL_HEIGHT - small.height) // 2),
            )
            draw.text((left, above + CELL_HEIGHT), word, _TEXT, font)
        top += height
    return sheet


def _lines(row: Row, columns: int) -> Iterator[tuple[str, Sequence[tuple[Image.Image, str]]]]:
    for start in range(0, len(row.cells), columns):
        yield (row.title if start == 0 else ""), row.cells[start : start + columns]
