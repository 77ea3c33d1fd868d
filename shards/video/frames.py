"""From a film to JPEG frames."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from shards.errors import VideoError
from shards.schema import is_frame_size
from shards.video.film import Film
from shards.video.picture import Turn, packed_size, to_image, to_jpeg, turn_of, turned_size


class JpegFrames:
    """A film's frames as JPEGs, to be iterated once: frame k is what is shown k / fps seconds after the first picture.

    Attributes:
        width: Of the frames, in pixels; known with the first of them.
        height: Of the frames.
    """

    width, height = 0, 0

    def __init__(self, film: Film, *, fps: Fraction, short_side: int, quality: int) -> None:
        """Nothing is opened yet.

        Args:
            film: Where they are taken.
            fps: Frames a second.
            short_side: See `packed_size`.
            quality: JPEG quality, 1 to 100.
        """
        self._film, self._fps, self._short_side, self._quality = film, fps, short_side, quality
        self._size: tuple[int, int] | None = None
        self._turn: Turn = None

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield each number k and the JPEG. Numbers grow; they jump where frames could not be decoded.

        Raises:
            VideoError: Nothing can be decoded or converted, or frames are too large.
            StorageError: The store fails.
        """
        encoded, jpeg = None, b""
        for number, picture in self._film.picked(self._fps):
            if picture is not encoded:
                encoded, jpeg = picture, self._encode(picture)
            yield number, jpeg

    def _encode(self, picture: Any) -> bytes:
        if self._size is None:
            self._size = self._find_size(picture)
        return to_jpeg(to_image(picture, *self._size, self._turn), self._quality)

    def _find_size(self, picture: Any) -> tuple[int, int]:
        """The size of frames before they are turned upright, by the first picture."""
        self._turn = turn_of(picture)
        size = packed_size(picture.width, picture.height, self._short_side, self._film.header().pixel_aspect)
        self.width, self.height = turned_size(*size, self._turn)
        if not is_frame_size(*size):
            raise VideoError(f"its frames would have {size[0]}x{size[1]} pixels, and 8K is the most; lower short_side")
        return size
