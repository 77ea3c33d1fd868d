"""Source videos, files or folders of images or single ones: pictures at a steady rate, and what is lost of them."""

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
from surgstream.shards.video.sampling import pick_shown
from surgstream.shards.video.still_image import StillImage
from surgstream.shards.video.stills import Window, glimpses

FALLBACK_FPS = Fraction(1, 10)
"""Rate at which a video is sampled that has no known length and allows no seeking."""


class Film(Protocol):
    """A source of frames."""

    @property
    def lost(self) -> list[Span]:
        """Stretches that could not be decoded; complete after the last picture."""

    def header(self) -> Header:
        """Read what is known without decoding.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def samples(self, count: int) -> Iterator[Any]:
        """Decode at most `count` pictures from all over it, without the rest where possible.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def glimpses(self, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
        """Decode one picture of each window of time, without the rest; see `shards.video.stills`.

        Raises:
            VideoError: It is no video.
            StorageError: The store fails.
        """

    def shape(self, picture: Any) -> Shape:
        """Tell the shape of one of its pictures."""

    def picked(self, fps: Fraction) -> Iterator[tuple[int, Any]]:
        """Yield each k and the picture on the screen k / fps seconds after the first one, as PyAV's frame.

        Numbers grow; they jump where pictures are lost.

        Raises:
            VideoError: It is no video, or nothing of it can be decoded.
            StorageError: The store fails.
        """

    def timed(self, fps: Fraction) -> Iterator[tuple[int, Fraction, Any]]:
        """Yield what `picked` does, with the second after the first picture at which each came on the screen."""


def find_film(
    location: str,
    stores: Stores,
    *,
    image_fps: float | None = None,
    images: str = "*",
    still: bool = False,
    threads: int = 1,
    gpu: bool = False,
) -> Film:
    """Find a film, without opening it.

    Args:
        location: A path or `s3://BUCKET/KEY`.
        stores: Where `s3://` addresses are read from.
        image_fps: Images a second, if it is a folder of numbered images.
        images: A glob of the names of its images, if it is such a folder.
        still: Whether it is one image file, a film of one picture.
        threads: Number of threads that decode a file. They change nothing about the pictures.
        gpu: Decode a file by NVDEC where it can.
    """
    if still:
        return StillImage(location, stores)
    if image_fps is not None:
        return ImageFolder(location, stores, Fraction(str(image_fps)), images)
    return VideoFile(location, stores, threads=threads, gpu=gpu)


class VideoFile:
    """A film in a file; see `Film`.

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
        """Name the file, without opening it.

        Args:
            location: A path or `s3://BUCKET/KEY`.
            stores: Where `s3://` addresses are read from.
            threads: Number of threads that decode.
            spare: Skip what no frame needs. That changes no picture either.
            gpu: Decode by NVDEC where it can, up to the first damage.
        """
        self.lost: list[Span] = []
        self._location = location
        self._stores = stores
        self._threads = threads
        self._spare = spare
        self._gpu = gpu
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
        """See `Film.samples`. They are key frames; where too few are found, all of the film is decoded."""
        found = 0
        with open_video(self._location, self._stores, read_ahead=KEY_FRAME_BYTES) as video:
            self._meet(video)
            for picture in key_frames(video, count):
                found += 1
                yield picture

        if 2 * found < count:
            seconds = video.header.seconds
            rate = count / seconds if seconds else FALLBACK_FPS
            latest = None
            for _, picture in itertools.islice(self.picked(rate), count - found):
                # A picture that stays is given once.
                if picture is not latest:
                    yield picture
                latest = picture

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

        Several threads decode, and skip what is not needed, until something turns out to be damaged. From there on one
        thread decodes picture by picture, so that the result does not depend on the machine.
        """
        for number, _, picture in self.timed(fps):
            yield number, picture

    def timed(self, fps: Fraction) -> Iterator[tuple[int, Fraction, Any]]:
        """See `Film.timed`."""
        latest = -1
        fast = self._pass(fps, self._threads, spare=self._spare, strict=True, gpu=self._gpu)
        try:
            for latest, second, picture in fast:
                yield latest, second, picture
        except Damaged:
            for number, second, picture in self._pass(fps, 1, spare=False, strict=False):
                if number > latest:
                    yield number, second, picture

    def _pass(
        self, fps: Fraction, threads: int, *, spare: bool, strict: bool, gpu: bool = False
    ) -> Iterator[tuple[int, Fraction, Any]]:
        with open_video(self._location, self._stores, threads, gpu=gpu) as video:
            self._meet(video)
            pictures = Pictures(video, at=fps if spare else None, strict=strict)
            self.lost = pictures.lost
            for number, shown in pick_shown(pictures, fps / pictures.scale.per_second):
                yield number, pictures.scale.seconds(shown.start), shown.picture

    def _meet(self, video: Video) -> None:
        """Remember what the open file tells."""
        self._header = video.header
        self._shapes = video.shapes
