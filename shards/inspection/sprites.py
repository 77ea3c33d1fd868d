"""Many small pictures of a video in few files: a browser shows them small, and enlarges one of them at a click.

A cell holds a picture and, below it, a band in the colours of the findings at that time; a dropped one has a red frame.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from surgstream.shards.inspection.sheet import fitted
from surgstream.shards.inspection.sights import LINES, Sight

ROWS = 6
"""Lines of pictures in a file: with more a browser would decode pictures far off the screen."""

QUALITY = 72
DROPPED_COLOUR = "#cf222e"

# Parts of a picture's height: the band, the red frame and the gap between cells are 1 / _BAND of it, and so on.
_BAND = 18
_FRAME = 32
_GAP = 43

_PAGE_COLOUR = "#ffffff"
_NO_BAND_COLOUR = "#eaeef2"
_NOTHING_COLOUR = "#6e7781"


@dataclass(frozen=True)
class Cell:
    """A picture in a sprite, and the colours of what was found at its time."""

    sight: Sight
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sprite:
    """A file of pictures.

    Attributes:
        file: Its name, relative to the page.
        columns: Number of pictures in a line.
        cell: Width and height of a cell.
        size: Width and height of the picture in a cell, at its upper left corner.
        seconds: The time of each picture.
    """

    file: str
    columns: int
    cell: tuple[int, int]
    size: tuple[int, int]
    seconds: tuple[float, ...]


def columns_of(size: tuple[int, int]) -> int:
    """Compute how many pictures of a size stand in a line: 10 wide ones, more narrow ones."""
    width, height = size
    return round(10 * math.sqrt(16 / 9 / (width / height)))


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """Compute the size at which frames of a size are shown."""
    width, height = size
    scale = min(1.0, LINES / min(size))
    return max(1, round(width * scale)), max(1, round(height * scale))


def write_sprites(
    cells: Sequence[Cell], size: tuple[int, int], out: Path, stem: str, columns: int
) -> Iterator[tuple[Sprite, list[Image.Image]]]:
    """Write pictures into as many files as they need.

    Args:
        cells: The pictures, in order of time.
        size: Size of the pictures; others are fitted into it.
        out: The folder of the page.
        stem: Name of the files, relative to it, without a number and the suffix.
        columns: Number of pictures in a line.

    Yields:
        Each file, and its pictures.
    """
    num_cells = columns * ROWS
    for number, start in enumerate(range(0, len(cells), num_cells)):
        some = cells[start : start + num_cells]
        images = [_opened(cell.sight, size) for cell in some]
        file = f"{stem}{number}.jpg"
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        _draw(some, images, size, columns).save(out / file, quality=QUALITY)

        seconds = tuple(cell.sight.second for cell in some)
        sprite = Sprite(file, columns, _cell_size(size), size, seconds)
        yield sprite, [image for image in images if image is not None]


def _cell_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    gap = max(1, height // _GAP)
    band = max(1, height // _BAND)
    return width + gap, height + band + gap


def _draw(
    cells: Sequence[Cell], images: Sequence[Image.Image | None], size: tuple[int, int], columns: int
) -> Image.Image:
    width, height = size
    cell_width, cell_height = _cell_size(size)
    frame = max(1, height // _FRAME)
    num_lines = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * cell_width, num_lines * cell_height), _PAGE_COLOUR)
    draw = ImageDraw.Draw(sheet)

    for number, (cell, image) in enumerate(zip(cells, images, strict=True)):
        line, column = divmod(number, columns)
        left = column * cell_width
        top = line * cell_height
        right = left + width - 1
        bottom = top + height - 1

        # Where no picture could be had, the field is crossed out.
        if image is None:
            draw.rectangle((left, top, right, bottom), _NOTHING_COLOUR)
            draw.line((left, top, right, bottom), _PAGE_COLOUR, 2)
            draw.line((left, bottom, right, top), _PAGE_COLOUR, 2)
        else:
            sheet.paste(image, (left, top))

        if cell.sight.dropped:
            draw.rectangle((left, top, right, bottom), outline=DROPPED_COLOUR, width=frame)
        _draw_band(draw, cell, left, bottom + 1, size)

    return sheet


def _draw_band(
    draw: ImageDraw.ImageDraw, cell: Cell, left: int, top: int, size: tuple[int, int]
) -> None:
    """Draw the colours of a cell in a band that starts at `left` and `top`."""
    width, height = size
    bottom = top + max(1, height // _BAND) - 1
    colours = cell.colours or (_NO_BAND_COLOUR,)
    share = width / len(colours)
    for place, colour in enumerate(colours):
        start = left + round(place * share)
        stop = left + round((place + 1) * share)
        draw.rectangle((start, top, stop - 1, bottom), colour)


def _opened(sight: Sight, size: tuple[int, int]) -> Image.Image | None:
    """Decode a picture at this size; what it does not fill is grey."""
    if sight.jpeg is None:
        return None

    with Image.open(io.BytesIO(sight.jpeg)) as file:
        image = file.convert("RGB")
    if image.size == size:
        return image

    canvas = Image.new("RGB", size, _NO_BAND_COLOUR)
    small = fitted(image, size)
    canvas.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
    return canvas
