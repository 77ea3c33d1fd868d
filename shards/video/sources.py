"""A source video, be it one file or a folder of images: its pictures at a steady rate, and what of it is lost."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Protocol

from surgstream.shards.format.records import Span
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import Header, Video, open_video
from surgstream.shards.video.container.shape import Shape, Shapes
from surgstream.shards.video.decode import Damaged, Pictures
from surgstream.shards.video.folders import ImageFolder
from surgstream.shards.video.samples import KEY_FRAME_BYTES, key_frames
from surgstream.shards.video.sampling import pick
from surgstream.shards.video.stills import Window, glimpses

FALLBACK_FPS = Fraction(1, 10)
"""How often a video of unknown length is sampled where it cannot be sought in."""


class Film(Protocol):
    """What frames are taken of."""

    @property
    def lost(self) -> list[Span]:
        """What could not be decoded; complete after the last picture."""

    def header(self) -> Header:
        """What is known without decoding.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def samples(self, count: int) -> Iterator[Any]:
        """Some pictures from all over it, at most `count`, found without decoding the rest.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def glimpses(self, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
        """One picture of each window of time, found without decoding the rest; see `shards.video.stills`.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def shape(self, picture: Any) -> Shape:
        """What one of its pictures is like."""

    def picked(self, fps: Fraction) -> Iterator[tuple[int, Any]]:
        """For each k, the picture on the screen k / fps seconds after the first one, as PyAV's frame.

        Numbers grow; they jump where pictures are lost.

        Raises:
            VideoError: It is no video, or nothing of it can be decoded.
            StorageError: The store fails.
        """


def find_film(
    location: str,
    stores: Stores,
    *,
    image_fps: float | None = None,
    threads: int = 1,
    gpu: bool = False,
) -> Film:
    """A film, not yet opened.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: Where `s3://` addresses are read from.
        image_fps: Images a second, if it is a folder of numbered images.
        threads: To decode a file with. They change nothing about the pictures.
        gpu: Decode a file by NVDEC where it can.
    """
    if image_fps is not None:
        return ImageFolder(location, stores, Fraction(str(image_fps)))
    return VideoFile(location, stores, threads=threads, gpu=gpu)


class VideoFile:
    """A file; see `Film`.

    Attributes:
        lost: See `Film.lost`.
    """

    def __init__(
        self,
        location: str,
        stores: Stores,
        *,
        threads: int = 1,
        spare: bool = True,
        gpu: bool = False,
    ) -> None:
        """Nothing is opened yet.

        Args:
            location: A path or `s3://BUCKET/KEY`.
            stores: Where `s3://` addresses are read from.
            threads: To decode with.
            spare: Whether not to decode what is not needed; that changes nothing either.
            gpu: Decode by NVDEC where it can, up to the first damage.
        """
        self.lost: list[Span] = []
        self._location, self._stores, self._threads, self._spare, self._gpu = (
            location,
            stores,
            threads,
            spare,
            gpu,
        )
        self._header: Header | None = None
        self._shapes: Shapes | None = None

    def header(self) -> Header:
        """See `Film.header`."""
        if self._header is None:
            with open_video(self._location, self._stores) as video:
                self._meet(video)
        assert self._header is not None
        return self._header

    def samples(self, count: int) -> Iterator[Any]:
        """See `Film.samples`. They are key frames, or, where these cannot be found, all of it is decoded."""
        with open_video(self._location, self._stores, read_ahead=KEY_FRAME_BYTES) as video:
            self._meet(video)
            found, seconds = 0, video.header.seconds
            for picture in key_frames(video, count):
                found += 1
                yield picture
        if 2 * found < count:
            rate = count / seconds if seconds else FALLBACK_FPS
            pictures = itertools.islice(self.picked(rate), count - found)
            # A picture that stays is given once
            yield from (
                next(same)
                for _, same in itertools.groupby((picture for _, picture in pictures), key=id)
            )

    def glimpses(self, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
        """See `Film.glimpses`."""
        with open_video(self._location, self._stores, read_ahead=KEY_FRAME_BYTES) as video:
            self._meet(video)
            yield from glimpses(video, windows)

    def shape(self, picture: Any) -> Shape:
        """See `Film.shape`."""
        assert self._shapes is not None
        return self._shapes.of(picture)

    def picked(self, fps: Fraction) -> Iterator[tuple[int, Any]]:
        """See `Film.picked`.

        Decoding goes on several threads and leaves out what is not needed, until something turns out to be damaged:
        then what follows is decoded picture by picture on one thread, so that it does not depend on the machine.
        """
        latest = -1
        try:
            for latest, picture in self._pass(
                fps, self._threads, spare=self._spare, strict=True, gpu=self._gpu
            ):
                yield latest, picture
        except Damaged:
            given = latest
            again = self._pass(fps, 1, spare=False, strict=False)
            yield from ((number, picture) for number, picture in again if number > given)

    def _pass(
        self, fps: Fraction, threads: int, *, spare: bool, strict: bool, gpu: bool = False
    ) -> Iterator[tuple[int, Any]]:
        with open_video(self._location, self._stores, threads, gpu=gpu) as video:
            self._meet(video)
            pictures = Pictures(video, at=fps if spare else None, strict=strict)
            self.lost = pictures.lost
            yield from pick(pictures, fps / pictures.scale.per_second)

    def _meet(self, video: Video) -> None:
        self._header, self._shapes = video.header, video.shapes
