"""A still image as a film of one picture, which is on the screen for one frame at whatever rate."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import av
from PIL import Image, ImageOps

from surgstream.shards.errors import VideoError
from surgstream.shards.format.records import Span
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import MAX_PIXELS, Header
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.stills import Window


class StillImage:
    """A film in an image file; see `shards.video.sources.Film`.

    Attributes:
        lost: See `Film.lost`; an image is there as a whole or not at all.
    """

    def __init__(self, location: str, stores: Stores) -> None:
        """Locate the file, without reading it.

        Args:
            location: A path or `s3://BUCKET/KEY`.
            stores: Where `s3://` addresses are read from.
        """
        self.lost: list[Span] = []
        self._storage, self._name = stores.locate(location)

    def header(self) -> Header:
        """See `Film.header`. It has no length of its own."""
        image = self._load()
        return Header(
            kind="image",
            codec=PurePosixPath(self._name).suffix[1:].lower(),
            width=image.width,
            height=image.height,
            pixel_aspect=Fraction(1),
            seconds=Fraction(0),
            rate=None,
        )

    def samples(self, count: int) -> Iterator[Any]:
        """See `Film.samples`."""
        if count:
            yield av.VideoFrame.from_image(self._load())

    def glimpses(self, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
        """See `Film.glimpses`."""
        for low, high in windows:
            is_shown = low <= 0 < high
            yield (Fraction(0), av.VideoFrame.from_image(self._load())) if is_shown else None

    def shape(self, picture: Any) -> Shape:
        """See `Film.shape`."""
        return Shape(picture.width, picture.height, whole(picture.width, picture.height))

    def picked(self, fps: Fraction) -> Iterator[tuple[int, Any]]:
        """See `Film.picked`: frame 0, and no other."""
        yield 0, av.VideoFrame.from_image(self._load())

    def timed(self, fps: Fraction) -> Iterator[tuple[int, Fraction, Any]]:
        """See `Film.timed`."""
        yield 0, Fraction(0), av.VideoFrame.from_image(self._load())

    def _load(self) -> Image.Image:
        """Decode it, upright, as RGB."""
        if self._storage.size(self._name) is None:
            raise VideoError("is missing")
        data = self._storage.read(self._name)
        try:
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise VideoError(
                    f"expected an image of at most {MAX_PIXELS} pixels, got "
                    f"{image.width}x{image.height}"
                )
            return ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(
                f"cannot be read as an image: {error}", nameless="cannot be read as an image"
            ) from None
