"""Contact sheets: rows of pictures with titles."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

CELL_HEIGHT = 108
CELL_WIDTH = 192
_GAP = 4
_LINE = 18
_FONT_SIZE = 13

# Colours of the page, of text and of cells without a picture.
_PAGE = (250, 250, 250)
_TEXT = (36, 41, 47)
_EMPTY = (225, 228, 232)


@dataclass(frozen=True)
class Row:
    """Pictures in a row.

    Attributes:
        title: Text above the first picture.
        cells: The pictures, each with a word below it.
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
    font = ImageFont.load_default(_FONT_SIZE)
    lines: list[Row] = []
    for row in rows:
        lines += _lines(row, columns)

    # Every line has words below its pictures; the first one of a row has a title above them.
    num_titles = sum(bool(line.title) for line in lines)
    width = columns * (CELL_WIDTH + _GAP) + _GAP
    height = len(lines) * (CELL_HEIGHT + _LINE + _GAP) + num_titles * _LINE + _GAP
    sheet = Image.new("RGB", (width, height), _PAGE)
    draw = ImageDraw.Draw(sheet)

    top = _GAP
    for line in lines:
        if line.title:
            draw.text((_GAP, top), line.title, _TEXT, font)
            top += _LINE

        for column, (picture, word) in enumerate(line.cells):
            left = _GAP + column * (CELL_WIDTH + _GAP)
            draw.rectangle((left, top, left + CELL_WIDTH - 1, top + CELL_HEIGHT - 1), _EMPTY)
            small = fitted(picture, (CELL_WIDTH, CELL_HEIGHT))
            indent = (CELL_WIDTH - small.width) // 2
            drop = (CELL_HEIGHT - small.height) // 2
            sheet.paste(small, (left + indent, top + drop))
            draw.text((left, top + CELL_HEIGHT), word, _TEXT, font)
        top += CELL_HEIGHT + _LINE + _GAP

    return sheet


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale a picture to touch the edges of a box from inside, at least one pixel wide and high."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width = max(1, round(picture.width * scale))
    height = max(1, round(picture.height * scale))
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _lines(row: Row, columns: int) -> Iterator[Row]:
    """Cut a row into lines; the first one keeps the title."""
    for start in range(0, len(row.cells), columns):
        title = row.title if start == 0 else ""
        yield Row(title, row.cells[start : start + columns])
