"""The pictures of one video in the report: over its whole length, and of each thing that was found in it."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from surgstream.shards.format.records import Box, Finding
from surgstream.shards.inspection.colours import Histogram, histogram
from surgstream.shards.inspection.page import COLOURS
from surgstream.shards.inspection.sights import QUALITY, Sight, Sights
from surgstream.shards.inspection.sprites import (
    Cell,
    Sprite,
    columns_of,
    picture_size,
    write_sprites,
)
from surgstream.shards.video.picture import to_jpeg

MOST_PICTURES, FEWEST_PICTURES = 240, 10
SHORTEST_SECONDS, LONGEST_SECONDS = 10, 30
"""From one picture to the next: a long video has more than the most, a short one no fewer than the fewest."""

Rooms = Mapping[int, int]
"""By number of a frame, how many frames from it on do as well."""


@dataclass(frozen=True)
class Filmed:
    """What was written of a video; see `shards.inspection.page.Section`."""

    strip: tuple[Sprite, ...]
    found: tuple[tuple[Sprite, ...], ...]
    histogram: Histogram | None


def write_pictures(
    sights: Sights, findings: Sequence[Finding], fps: float, out: Path, folder: str
) -> Filmed:
    """Write a video's pictures.

    Args:
        sights: Where they come from.
        findings: What was found in it.
        fps: Its packed frames a second.
        out: The folder of the page.
        folder: That of the pictures, relative to it.
    """
    step = max(1, int(spacing(sights.stop / fps) * fps))
    strip = dict.fromkeys(range(0, sights.stop, step), step)
    moments = [_moments(finding, fps) for finding in findings]
    # All at once, since each call opens the source anew
    seen = sights.see(_together([strip, *moments]))
    opened = (
        Image.open(io.BytesIO(sight.jpeg)) for sight in seen.values() if sight.jpeg is not None
    )
    size = next((picture_size(image.size) for image in opened), None)
    if size is None:
        return Filmed((), tuple(() for _ in findings), None)

    def written(
        cells: Sequence[Cell], stem: str, columns: int
    ) -> Iterator[tuple[Sprite, list[Image.Image]]]:
        columns = min(columns, max(1, len(cells)))
        return write_sprites(cells, size, out, f"{folder}/{stem}", columns)

    cells = [
        Cell(seen[at], _colours(findings, at / fps, (at + step) / fps))
        for at in strip
        if at in seen
    ]
    sprites = []

    # Sheets are written as their pictures are counted, so no more than one of them is in memory
    def images() -> Iterator[Image.Image]:
        for sprite, its_own in written(cells, "time", columns_of(size)):
            sprites.append(sprite)
            yield from its_own

    counts = histogram(images())
    found = []
    for number, (finding, rooms) in enumerate(zip(findings, moments, strict=True)):
        pictures = [seen[at] for at in rooms if at in seen]
        if finding.box is not None:
            pictures = [*_enlarged(pictures, finding), *pictures]
        sheets = written(
            [Cell(sight) for sight in pictures], f"{number}_{finding.kind}", len(pictures)
        )
        found.append(tuple(sprite for sprite, _ in sheets))
    return Filmed(tuple(sprites), tuple(found), counts)


def spacing(seconds: float) -> float:
    """How far a video's pictures are apart."""
    shortest = min(SHORTEST_SECONDS, seconds / FEWEST_PICTURES)
    return min(LONGEST_SECONDS, max(shortest, seconds / MOST_PICTURES))


def _moments(finding: Finding, fps: float) -> Rooms:
    """The first and the last frame of a finding, the one in the middle, and the one that shows it best."""
    first, stop, best = (
        round(second * fps) for second in (finding.start, finding.stop, finding.shown)
    )
    numbers = sorted({first, (first + stop - 1) // 2, stop - 1, best})
    rooms = {
        number: end - number for number, end in zip(numbers, [*numbers[1:], stop], strict=True)
    }
    # No neighbour does for the one that shows it best
    return {**rooms, best: 1}


def _together(parts: Iterable[Rooms]) -> Rooms:
    """All of them, with the least room that one of them leaves."""
    rooms: dict[int, int] = {}
    for part in parts:
        for number, room in part.items():
            rooms[number] = min(room, rooms.get(number, room))
    return rooms


def _colours(findings: Iterable[Finding], start: float, stop: float) -> tuple[str, ...]:
    """Those of what was found in [start, stop); writing is all over a video."""
    kinds = {each.kind for each in findings if each.start < stop and each.stop > start} - {
        "writing"
    }
    return tuple(COLOURS[kind] for kind in COLOURS if kind in kinds)


def _enlarged(pictures: Sequence[Sight], finding: Finding) -> Iterator[Sight]:
    """What is within a finding's box, with room on all sides, so that its surroundings are seen."""
    shown = next(
        (sight for sight in pictures if sight.second == finding.shown and not sight.dropped), None
    )
    if shown is None or shown.jpeg is None or finding.box is None:
        return
    with Image.open(io.BytesIO(shown.jpeg)) as image:
        part = image.convert("RGB").crop(_around(finding.box, image.size))
    yield replace(shown, jpeg=to_jpeg(part, QUALITY))


def _around(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    room = box.bottom - box.top
    left, right = max(0, box.left - 4 * room), min(size[0], box.right + 4 * room)
    return left, max(0, box.top - room), right, min(size[1], box.bottom + room)
