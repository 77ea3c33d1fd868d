"""Many small pictures of a video in few files: a browser shows them small, and enlarges one of them when it is clicked.

A cell holds a picture and, below it, a band in the colours of what was found then; what is dropped has a red frame.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from surgstream.shards.inspection.sights import LINES, Sight

ROWS = 6
"""Lines of pictures in a file: more would make a browser decode what nobody sees."""

QUALITY = 72
DROPPED_COLOUR = "#cf222e"

_BAND, _FRAME, _GAP = 18, 32, 43
"""Of a picture's height, one part in so many."""

_PAGE, _NO_BAND, _NOTHING = "#ffffff", "#eaeef2", "#6e7781"


@dataclass(frozen=True)
class Cell:
    """A picture in a sprite, and the colours of what was found at its time."""

    sight: Sight
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sprite:
    """A file of pictures.

    Attributes:
        file: Where it is, relative to the page.
        columns: Pictures in a line of it.
        cell: Width and height of each, with what is around it.
        size: Width and height of the picture in a cell, at its left upper corner.
        seconds: When each is seen.
    """

    file: str
    columns: int
    cell: tuple[int, int]
    size: tuple[int, int]
    seconds: tuple[float, ...]


def columns_of(size: tuple[int, int]) -> int:
    """How many pictures of a size stand in a line: 10 wide ones, more narrow ones."""
    return round(10 * math.sqrt(16 / 9 / (size[0] / size[1])))


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which frames of a size are shown."""
    scale = min(1.0, LINES / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def write_sprites(
    cells: Sequence[Cell], size: tuple[int, int], out: Path, stem: str, columns: int
) -> Iterator[tuple[Sprite, list[Image.Image]]]:
    """Write pictures into as many files as they need.

    Args:
        cells: In order of time.
        size: Of the pictures; others are fitted into it.
        out: The folder of the page.
        stem: Of the files, relative to it; a number and a suffix are added.
        columns: Pictures in a line.

    Yields:
        Each file, and its pictures.
    """
    for number, start in enumerate(range(0, len(cells), columns * ROWS)):
        some = cells[start : start + columns * ROWS]
        images = [_opened(cell.sight, size) for cell in some]
        file = f"{stem}{number}.jpg"
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        _draw(some, images, size, columns).save(out / file, quality=QUALITY)
        cell = _cell_size(size)
        seconds = tuple(each.sight.second for each in some)
        yield (
            Sprite(file, columns, cell, size, seconds),
            [image for image in images if image is not None],
        )


def _cell_size(size: tuple[int, int]) -> tuple[int, int]:
    gap = max(1, size[1] // _GAP)
    return size[0] + gap, size[1] + max(1, size[1] // _BAND) + gap


def _draw(
    cells: Sequence[Cell], images: Sequence[Image.Image | None], size: tuple[int, int], columns: int
) -> Image.Image:
    width, height = _cell_size(size)
    band, frame = (max(1, size[1] // part) for part in (_BAND, _FRAME))
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), _PAGE)
    draw = ImageDraw.Draw(sheet)

    for number, (cell, image) in enumerate(zip(cells, images, strict=True)):
        left, top = number % columns * width, number // columns * height
        right, bottom = left + size[0] - 1, top + size[1] - 1
        if image is None:
            # No picture could be had: a field that is crossed out
            draw.rectangle((left, top, right, bottom), _NOTHING)
            draw.line((left, top, right, bottom), _PAGE, 2)
            draw.line((left, bottom, right, top), _PAGE, 2)
        else:
            sheet.paste(image, (left, top))

        if cell.sight.dropped:
            draw.rectangle((left, top, right, bottom), outline=DROPPED_COLOUR, width=frame)
        for place, colour in enumerate(cell.colours or (_NO_BAND,)):
            share = size[0] / max(1, len(cell.colours))
            edge = left + round(place * share), left + round((place + 1) * share) - 1
            draw.rectangle((edge[0], bottom + 1, edge[1], bottom + band), colour)
    return sheet


def _opened(sight: Sight, size: tuple[int, int]) -> Image.Image | None:
    """A picture of this very size, with what it does not fill in grey."""
    if sight.jpeg is None:
        return None
    with Image.open(io.BytesIO(sight.jpeg)) as file:
        image = file.convert("RGB")
    return image if image.size == size else ImageOps.pad(image, size, color=_NO_BAND)
