"""From a video to JPEG frames at a steady rate."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from shards.errors import VideoError
from shards.packed import Reading, Span
from shards.schema import is_frame_size
from shards.storage import Stores
from shards.video.decode import Damaged, Pictures, Shown
from shards.video.files import Video, open_video
from shards.video.picture import to_image, to_jpeg, upright_size


class JpegFrames:
    """A video's frames as JPEGs, to be iterated once: frame k is what is shown k / fps seconds after the first picture.

    Attributes:
        width: Of the frames, in pixels; known with the first of them.
        height: Of the frames.
        video: As its header describes it; known with the first frame.
        lost: What could not be decoded; complete after the last frame.
    """

    width, height = 0, 0

    def __init__(
        self,
        location: str,
        stores: Stores,
        *,
        fps: Fraction,
        short_side: int,
        quality: int,
        threads: int = 1,
        spare: bool = True,
    ) -> None:
        """Nothing is opened yet.

        Args:
            location: A path or `s3://BUCKET/KEY`.
            stores: Where `s3://` addresses are read from.
            fps: Frames a second.
            short_side: See `packed_size`.
            quality: JPEG quality, 1 to 100.
            threads: To decode with. They change nothing about the frames.
            spare: Whether not to decode what is not needed. That changes nothing either.
        """
        self._location, self._stores, self._threads, self._spare = location, stores, threads, spare
        self._fps, self._short_side, self._quality = fps, short_side, quality
        self.video: Video | None = None
        self.lost: list[Span] = []

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield each number k and the JPEG. Numbers grow; they jump where frames could not be decoded.

        Raises:
            VideoError: Nothing can be decoded or converted, or frames are too large.
            StorageError: The store fails.
        """
        encoded, jpeg = None, b""
        for number, picture in self._picked():
            if picture is not encoded:
                encoded, jpeg = picture, self._encode(picture)
            yield number, jpeg

    def reading(self, *, dataset: str, video: str) -> Reading:
        """What there is to say of the source, after the last frame."""
        source = self.video
        assert source is not None
        return Reading(
            dataset=dataset,
            video=video,
            source=PurePosixPath(self._location).name,
            container=source.kind,
            codec=source.codec,
            width=source.width,
            height=source.height,
            fps=None if source.rate is None else float(source.rate),
            seconds=None if source.seconds is None else float(source.seconds),
            lost=tuple(self.lost),
        )

    def _picked(self) -> Iterator[tuple[int, Any]]:
        """The pictures at k / fps seconds.

        Decoding goes on several threads and leaves out what is not needed, until something turns out to be damaged:
        then what follows is decoded picture by picture on one thread, so that it does not depend on the machine.
        """
        latest = -1
        try:
            for latest, picture in self._pass(self._threads, at=self._fps if self._spare else None, strict=True):
                yield latest, picture
        except Damaged:
            given = latest
            yield from ((number, picture) for number, picture in self._pass(1, at=None, strict=False) if number > given)

    def _pass(self, threads: int, *, at: Fraction | None, strict: bool) -> Iterator[tuple[int, Any]]:
        with open_video(self._location, self._stores, threads) as video:
            self.video = video
            pictures = Pictures(video, at=at, strict=strict)
            self.lost = pictures.lost
            yield from pick(pictures, self._fps)

    def _encode(self, picture: Any) -> bytes:
        if not self.width:
            assert self.video is not None
            self.width, self.height = upright_size(picture, self._short_side, self.video.pixel_aspect)
            if not is_frame_size(self.width, self.height):
                raise VideoError(
                    f"its frames would have {self.width}x{self.height} pixels, and 8K is the most; lower short_side"
                )
        return to_jpeg(to_image(picture, self.width, self.height), self._quality)


def pick(pictures: Iterable[Shown], fps: Fraction) -> Iterator[tuple[int, Any]]:
    """For each k, the picture on the screen at k / fps seconds, in exact arithmetic.

    A picture that stays long is picked again; one that is gone before the next k / fps never is.

    Args:
        pictures: In order of time, not overlapping.
        fps: Frames a second.

    Yields:
        k and the picture, for every k at which there is one.
    """
    for shown in pictures:
        for number in range(math.ceil(shown.start * fps), math.ceil(shown.stop * fps)):
            yield number, shown.picture
