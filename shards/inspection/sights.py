"""Pictures of a video for its report: packed frames where it was kept, pictures of its source where it was dropped.

Dropped pictures lie nowhere in a corpus, nor next to it. Only those who open the report see them.
"""

import itertools
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from PIL import Image

from surgstream.shards.errors import StorageError, VideoError
from surgstream.shards.format.records import Part, VideoReport
from surgstream.shards.inspection.packed_frames import Placed, read_frames
from surgstream.shards.storage.stores import Storage
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.picture import fit, frame, thumbnail, to_image, to_jpeg
from surgstream.shards.video.sources import Film
from surgstream.shards.video.stills import Window

log = logging.getLogger(__name__)

LINES = 256
"""Shorter side in pixels of a picture that comes from the source."""

QUALITY = 80
"""JPEG quality of such a picture."""

GAP = 8
"""Most frames from one packed frame to the next that are read together."""

CHUNK = 16
"""Packed frames that one thread reads."""

CHUNKS_IN_FLIGHT = 8

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sight:
    """A picture: its second after the first one, and its JPEG; None where it cannot be had."""

    second: float
    jpeg: bytes | None
    dropped: bool


class Sights:
    """The pictures of a video.

    Attributes:
        missing: The reason why the source shows nothing, known after a look at it; empty if it does.
    """

    def __init__(
        self,
        storage: Storage,
        placed: Placed | None,
        reading: VideoReport,
        film: Film | None,
        fps: float,
    ) -> None:
        """Find the parts of a video, without opening its source.

        Args:
            storage: The corpus.
            placed: The video in it; None where all is dropped.
            reading: Report on reading the video.
            film: Its source, if that is known.
            fps: Frames a second.
        """
        self.missing = ""
        self._storage = storage
        self._placed = placed
        self._reading = reading
        self._film = film
        self._fps = Fraction(str(fps))
        self._first: Shape | None = None

        self._kept = placed.video.parts if placed else ()
        self._dropped: list[Part] = []
        for span in reading.dropped:
            if span.stop is not None:
                first = round(span.start * self._fps)
                stop = round(span.stop * self._fps)
                self._dropped.append(Part(first_frame=first, num_frames=stop - first))

    @property
    def stop(self) -> int:
        """The number after that of the last frame, kept or dropped."""
        return max(part.first_frame + part.num_frames for part in (*self._kept, *self._dropped))

    def see(self, rooms: Mapping[int, int]) -> dict[int, Sight]:
        """Look at some frames.

        Args:
            rooms: Their numbers, and for each how many frames from it on do as well.

        Returns:
            Sights by number, in order; lost frames are left out.
        """
        rows: dict[int, int] = {}
        ends: dict[int, int] = {}
        for number in sorted(rooms):
            row = _row(self._kept, number)
            end = _end(self._dropped, number)
            if row is not None:
                rows[number] = row
            if end is not None:
                ends[number] = min(number + rooms[number], end)

        sights = {**self._packed(rows), **self._of_source(ends)}
        return dict(sorted(sights.items()))

    def uncropped(self) -> Image.Image | None:
        """Get a whole picture, as it is stored, from the middle of the video."""
        parts = self._kept or self._dropped
        part = parts[len(parts) // 2]
        middle = part.first_frame + part.num_frames // 2
        window = (middle / self._fps, (middle + 1) / self._fps)
        (found,) = self._glimpses([window], _as_stored)
        return None if found is None else found[1]

    def _packed(self, rows: Mapping[int, int]) -> dict[int, Sight]:
        """Read packed frames, given their numbers and their places among all packed ones."""
        placed = self._placed
        if placed is None:
            return {}

        def read(chunk: Sequence[int]) -> list[bytes]:
            return list(read_frames(self._storage, placed, chunk, GAP))

        wanted = list(rows.values())
        chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
        with ThreadPoolExecutor(CHUNKS_IN_FLIGHT) as pool:
            jpegs = list(itertools.chain.from_iterable(pool.map(read, chunks)))

        sights = {}
        for number, jpeg in zip(rows, jpegs, strict=True):
            sights[number] = Sight(float(number / self._fps), jpeg, dropped=False)
        return sights

    def _of_source(self, ends: Mapping[int, int]) -> dict[int, Sight]:
        """Look up frames in the source, given their numbers and those of the frames before which they must be found."""
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
        """Make something of a picture of each window of the source; return it with the picture's second."""
        if windows and self._film is None:
            self.missing = "its source is not known here"
        # A source that has failed once is not read again.
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
            # Without names of files, since the page may be shown to others.
            reason = error.nameless if isinstance(error, VideoError) else "its store fails"
            self.missing = f"its source cannot be read: {reason}"
            return [None] * len(windows)

    def _jpeg(self, picture: Any) -> bytes:
        """Encode a picture of the source, framed as packing would frame it."""
        assert self._film is not None
        shape = self._film.shape(picture)

        # The first picture decides the size of all, as in packing.
        self._first = self._first or shape
        framing = frame(self._first, LINES, self._reading.crop)
        if shape != self._first:
            framing = fit(shape, framing.size)
        return to_jpeg(to_image(picture, framing), QUALITY)


def _as_stored(picture: Any) -> Image.Image:
    """Convert a whole picture, even the margins that its container declares to be cut off."""
    all_of_it = Shape(picture.width, picture.height, whole(picture.width, picture.height))
    return Image.fromarray(thumbnail(picture, all_of_it, 2 * LINES))


def _row(parts: Iterable[Part], number: int) -> int | None:
    """Find the place of a frame among those of all parts; None where it is in none."""
    before = 0
    for part in parts:
        if part.first_frame <= number < part.first_frame + part.num_frames:
            return before + number - part.first_frame
        before += part.num_frames
    return None


def _end(parts: Sequence[Part], number: int) -> int | None:
    """Find the end of the part that a frame is in; None where it is in none."""
    at = bisect_right(parts, number, key=lambda part: part.first_frame) - 1
    if at < 0:
        return None
    end = parts[at].first_frame + parts[at].num_frames
    return end if number < end else None
