"""Pictures of a video for its report: as packed where it was kept, out of its source where it was dropped.

What is dropped lies nowhere in a corpus, nor beside it, so it is looked up in the source, for the eyes of whoever opens
the report.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from PIL import Image

from surgstream.shards.errors import StorageError, VideoError
from surgstream.shards.format.records import Part, Reading
from surgstream.shards.inspection.packed_frames import Placed, read_frames
from surgstream.shards.storage.stores import Storage
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.picture import fit, frame, thumbnail, to_image, to_jpeg
from surgstream.shards.video.sources import Film
from surgstream.shards.video.stills import Window

log = logging.getLogger(__name__)

LINES, QUALITY = 256, 80
"""Shorter side of a picture that comes from the source, and its quality."""

GAP, CHUNK, CHUNKS_IN_FLIGHT = 8, 16, 8
"""Packed frames that are this near are read together; requests follow each other in chunks, several at a time."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sight:
    """A picture: when, in seconds after the first one, and its JPEG; None where it cannot be had."""

    second: float
    jpeg: bytes | None
    dropped: bool


class Sights:
    """Where the pictures of a video come from.

    Attributes:
        missing: Why the source shows nothing, once it was asked; empty if it does.
    """

    missing = ""

    def __init__(
        self,
        storage: Storage,
        placed: Placed | None,
        reading: Reading,
        film: Film | None,
        fps: float,
    ) -> None:
        """Nothing is opened yet.

        Args:
            storage: The corpus.
            placed: The video in it; None where all is dropped.
            reading: How it was read.
            film: Its source, if that is known.
            fps: Frames a second.
        """
        self._storage, self._placed, self._reading, self._film = storage, placed, reading, film
        self._fps = Fraction(str(fps))
        self._first: Shape | None = None
        self._kept = placed.video.parts if placed else ()
        spans = ((span.start, span.stop) for span in reading.dropped if span.stop is not None)
        numbers = ((round(start * self._fps), round(stop * self._fps)) for start, stop in spans)
        self._dropped = [
            Part(first_frame=first, num_frames=stop - first) for first, stop in numbers
        ]

    @property
    def stop(self) -> int:
        """The number after that of the last frame, kept or dropped."""
        return max(part.first_frame + part.num_frames for part in (*self._kept, *self._dropped))

    def see(self, rooms: Mapping[int, int]) -> dict[int, Sight]:
        """Look at some frames.

        Args:
            rooms: Their numbers, and for each how many frames from it on do as well.

        Returns:
            By number, in order; lost frames are left out.
        """
        numbers = sorted(rooms)
        rows = {number: row for number in numbers if (row := _row(self._kept, number)) is not None}
        ends = {
            number: end for number in numbers if (end := _end(self._dropped, number)) is not None
        }
        windows = {number: min(number + rooms[number], end) for number, end in ends.items()}
        return dict(sorted({**self._packed(rows), **self._of_source(windows)}.items()))

    def uncropped(self) -> Image.Image | None:
        """A whole picture from the middle of what is there, as it is stored."""
        parts = self._kept or self._dropped
        part = parts[len(parts) // 2]
        middle = part.first_frame + part.num_frames // 2
        window = middle / self._fps, (middle + 1) / self._fps
        (found,) = self._glimpses([window], _as_stored)
        return None if found is None else found[1]

    def _packed(self, rows: Mapping[int, int]) -> dict[int, Sight]:
        """Frames by their number, given their place among those that are kept."""
        if self._placed is None:
            return {}
        placed, wanted = self._placed, list(rows.values())
        chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
        with ThreadPoolExecutor(CHUNKS_IN_FLIGHT) as pool:
            read = pool.map(
                lambda chunk: list(read_frames(self._storage, placed, chunk, GAP)), chunks
            )
            jpegs = [jpeg for chunk in read for jpeg in chunk]

        seconds = (float(number / self._fps) for number in rows)
        return {
            number: Sight(second, jpeg, dropped=False)
            for number, second, jpeg in zip(rows, seconds, jpegs, strict=True)
        }

    def _of_source(self, ends: Mapping[int, int]) -> dict[int, Sight]:
        """Frames by their number, or what is shown before another number."""
        windows = [(number / self._fps, end / self._fps) for number, end in ends.items()]
        found = self._glimpses(windows, self._jpeg)
        sights = {}
        for number, seen in zip(ends, found, strict=True):
            second, jpeg = seen or (float(number / self._fps), None)
            sights[number] = Sight(second, jpeg, dropped=True)
        return sights

    def _glimpses(
        self, windows: Sequence[Window], make: Callable[[Any], Made]
    ) -> list[tuple[float, Made] | None]:
        """What is made of a picture of each window, and its second."""
        if windows and self._film is None:
            self.missing = "its source is not known here"
        # A source that has failed once is not asked again
        if not windows or self._film is None or self.missing:
            return [None] * len(windows)

        try:
            found = self._film.glimpses(windows)
            return [None if seen is None else (float(seen[0]), make(seen[1])) for seen in found]
        except (VideoError, StorageError) as error:
            log.warning(
                "%s/%s: no pictures of its source: %s",
                self._reading.dataset,
                self._reading.video,
                error,
            )
            reason = (
                error.nameless if isinstance(error, VideoError) else "its store fails"
            )  # the page may be shown
            self.missing = f"its source cannot be read: {reason}"
            return [None] * len(windows)

    def _jpeg(self, picture: Any) -> bytes:
        """A picture of the source as packing would frame it."""
        assert self._film is not None
        shape, crop = self._film.shape(picture), self._reading.crop
        # The first picture decides the size of all, as in packing
        self._first = self._first or shape
        framing = frame(self._first, LINES, crop)
        if shape != self._first:
            framing = fit(shape, framing.size)
        return to_jpeg(to_image(picture, framing), QUALITY)


def _as_stored(picture: Any) -> Image.Image:
    """All of a picture, also what its container declares to be cut off."""
    all_of_it = Shape(picture.width, picture.height, whole(picture.width, picture.height))
    return Image.fromarray(thumbnail(picture, all_of_it, 2 * LINES))


def _row(parts: Iterable[Part], number: int) -> int | None:
    """The place of a frame among those of all parts; None where it is in none."""
    before = 0
    for part in parts:
        if part.first_frame <= number < part.first_frame + part.num_frames:
            return before + number - part.first_frame
        before += part.num_frames
    return None


def _end(parts: Sequence[Part], number: int) -> int | None:
    """Where the part that a frame is in ends; None where it is in none."""
    at = bisect_right(parts, number, key=lambda part: part.first_frame) - 1
    end = parts[at].first_frame + parts[at].num_frames if at >= 0 else 0
    return end if number < end else None
