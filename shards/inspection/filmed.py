"""The pictures of one video in the report: over its whole length, and of each thing that was found in it."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from surgstream.shards.format.records import Box, Finding
from surgstream.shards.inspection.colours import Histogram, histogram
from surgstream.shards.inspection.elements import COLOURS
from surgstream.shards.inspection.sights import QUALITY, Sight, Sights
from surgstream.shards.inspection.sprites import (
    Cell,
    Sprite,
    columns_of,
    picture_size,
    write_sprites,
)
from surgstream.shards.video.picture import to_jpeg

MAX_PICTURES = 240
"""Pictures of a video, unless they would be more than MAX_SECONDS apart."""

MIN_PICTURES = 10
"""Pictures of a short video, even if they are less than MIN_SECONDS apart."""

MIN_SECONDS = 10
MAX_SECONDS = 30

Rooms = Mapping[int, int]
"""Numbers of frames, and for each how many frames from it on do as well."""


@dataclass(frozen=True)
class Filmed:
    """The files that were written of a video; see `shards.inspection.page.Section`."""

    strip: tuple[Sprite, ...]
    found: tuple[tuple[Sprite, ...], ...]
    histogram: Histogram | None


def write_pictures(
    sights: Sights, findings: Sequence[Finding], fps: float, out: Path, folder: str
) -> Filmed:
    """Write a video's pictures.

    Args:
        sights: The source of the pictures.
        findings: The findings in it.
        fps: Its packed frames a second.
        out: The folder of the page.
        folder: The folder of the pictures, relative to it.
    """
    step = max(1, int(spacing(sights.stop / fps) * fps))
    strip = dict.fromkeys(range(0, sights.stop, step), step)
    moments = [_moments(finding, fps) for finding in findings]

    # All at once, since each call opens the source once more.
    seen = sights.see(_together([strip, *moments]))
    size = _size(seen.values())
    if size is None:
        return Filmed((), tuple(() for _ in findings), None)

    def write(
        cells: Sequence[Cell], stem: str, columns: int
    ) -> Iterator[tuple[Sprite, list[Image.Image]]]:
        columns = min(columns, max(1, len(cells)))
        return write_sprites(cells, size, out, f"{folder}/{stem}", columns)

    cells = []
    for at in strip:
        if at in seen:
            colours = _colours(findings, at / fps, (at + step) / fps)
            cells.append(Cell(seen[at], colours))

    # Sheets are written while their pictures are counted, so only one of them is in memory.
    sprites = []

    def images() -> Iterator[Image.Image]:
        for sprite, its_own in write(cells, "time", columns_of(size)):
            sprites.append(sprite)
            yield from its_own

    counts = histogram(images())

    found = []
    for number, (finding, rooms) in enumerate(zip(findings, moments, strict=True)):
        pictures = [seen[at] for at in rooms if at in seen]
        if finding.box is not None:
            pictures = [*_enlarged(pictures, finding), *pictures]
        of_finding = [Cell(sight) for sight in pictures]
        sheets = write(of_finding, f"{number}_{finding.kind}", len(pictures))
        found.append(tuple(sprite for sprite, _ in sheets))

    return Filmed(tuple(sprites), tuple(found), counts)


def _size(sights: Iterable[Sight]) -> tuple[int, int] | None:
    """Find the size of the first picture that could be had."""
    for sight in sights:
        if sight.jpeg is not None:
            with Image.open(io.BytesIO(sight.jpeg)) as image:
                return picture_size(image.size)
    return None


def spacing(seconds: float) -> float:
    """Compute the seconds from one picture of a video to the next, by the video's length."""
    shortest = min(MIN_SECONDS, seconds / MIN_PICTURES)
    return min(MAX_SECONDS, max(shortest, seconds / MAX_PICTURES))


def _moments(finding: Finding, fps: float) -> Rooms:
    """Choose the first and the last frame of a finding, the one in the middle, and the one that shows it best."""
    first = round(finding.start * fps)
    stop = round(finding.stop * fps)
    best = round(finding.shown * fps)
    last = stop - 1
    numbers = sorted({first, (first + last) // 2, last, best})
    ends = [*numbers[1:], stop]

    rooms = {number: end - number for number, end in zip(numbers, ends, strict=True)}
    # No neighbour does for the frame that shows it best.
    rooms[best] = 1
    return rooms


def _together(parts: Iterable[Rooms]) -> Rooms:
    """Merge frames, each with the least room that one of the parts leaves."""
    rooms: dict[int, int] = {}
    for part in parts:
        for number, room in part.items():
            rooms[number] = min(room, rooms.get(number, room))
    return rooms


def _colours(findings: Iterable[Finding], start: float, stop: float) -> tuple[str, ...]:
    """List the colours of the findings in [start, stop), without writing, which is all over a video."""
    kinds = {each.kind for each in findings if each.start < stop and each.stop > start}
    kinds.discard("writing")
    return tuple(COLOURS[kind] for kind in COLOURS if kind in kinds)


def _enlarged(pictures: Sequence[Sight], finding: Finding) -> Iterator[Sight]:
    """Cut out a finding's box, with its surroundings, of the picture that shows it best."""
    best = [sight for sight in pictures if sight.second == finding.shown and not sight.dropped]
    if not best or best[0].jpeg is None or finding.box is None:
        return

    with Image.open(io.BytesIO(best[0].jpeg)) as image:
        part = image.convert("RGB").crop(_around(finding.box, image.size))
    yield replace(best[0], jpeg=to_jpeg(part, QUALITY))


def _around(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Widen a box within a picture: by its height above and below, and four times as much at its sides."""
    width, height = size
    room = box.bottom - box.top
    return (
        max(0, box.left - 4 * room),
        max(0, box.top - room),
        min(width, box.right + 4 * room),
        min(height, box.bottom + room),
    )
