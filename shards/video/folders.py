"""Folders of numbered images: pictures that others have already taken out of a video."""

import io
import itertools
import re
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import av
from PIL import Image, ImageOps

from surgstream.shards.errors import StorageError, VideoError
from surgstream.shards.format.records import Span
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import MAX_PIXELS, Header
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.sampling import Shown, first_frame, pick, pick_shown
from surgstream.shards.video.stills import Window

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_NUMBER = re.compile(r"(\d+)\D*$")


class ImageFolder:
    """A folder whose images are numbered: number n is on the screen n / image_fps seconds after number 0.

    An image stays until the next one, but no longer than most do: then some are missing. See
    `shards.video.sources.Film`.

    Attributes:
        lost: See `Film.lost`.
    """

    def __init__(
        self, location: str, stores: Stores, image_fps: Fraction, images: str = "*"
    ) -> None:
        """Locate the folder, without reading it.

        Args:
            location: A path or `s3://BUCKET/KEY`.
            stores: Where `s3://` addresses are read from.
            image_fps: Numbers a second: 1 where the images of each second have the next number, 25 where every
                twenty-fifth picture kept its own.
            images: A glob of the names of its images; other files are not looked at.
        """
        self.lost: list[Span] = []
        self._location = location
        self._image_fps = image_fps
        self._images = images
        self._storage, self._folder = stores.locate(location)
        self._header: Header | None = None

    def header(self) -> Header:
        """See `Film.header`."""
        if self._header is None:
            self._header = self._find_header()
        return self._header

    def _find_header(self) -> Header:
        times = self._times()
        images = (self._load(name) for _, _, name in times)
        first = next(filter(None, images), None)
        if first is None:
            raise VideoError("not one image in it can be read")

        return Header(
            kind="images",
            codec=PurePosixPath(times[0][2]).suffix[1:].lower(),
            width=first.width,
            height=first.height,
            pixel_aspect=Fraction(1),
            seconds=times[-1][1],
            # Numbers grow by `_step` from one image to the next.
            rate=self._image_fps / self._step,
        )

    def samples(self, count: int) -> Iterator[Any]:
        """See `shards.video.sources.Film.samples`."""
        names = list(self._numbered.values())
        count = min(count, len(names))
        for number in range(count):
            image = self._load(names[number * len(names) // count])
            if image is not None:
                yield av.VideoFrame.from_image(image)

    def glimpses(self, windows: Iterable[Window]) -> Iterator[tuple[Fraction, Any] | None]:
        """See `Film.glimpses`."""
        times = self._times()
        stops = [stop for _, stop, _ in times]
        for low, high in windows:
            here = bisect_right(stops, low)
            if here == len(times) or times[here][0] >= high:
                yield None
                continue

            start, _, name = times[here]
            image = self._load(name)
            yield None if image is None else (max(start, low), av.VideoFrame.from_image(image))

    def shape(self, picture: Any) -> Shape:
        """See `shards.video.sources.Film.shape`."""
        return Shape(picture.width, picture.height, whole(picture.width, picture.height))

    def picked(self, fps: Fraction) -> Iterator[tuple[int, Any]]:
        """See `Film.picked`."""
        yield from pick(self._shown(fps), fps)

    def timed(self, fps: Fraction) -> Iterator[tuple[int, Fraction, Any]]:
        """See `Film.timed`."""
        for number, shown in pick_shown(self._shown(fps), fps):
            yield number, Fraction(shown.start), shown.picture

    @property
    def first_number(self) -> int:
        """The number of its first image, which is shown at second 0.

        Raises:
            VideoError: It has no numbered images, or two of one number.
            StorageError: The store fails.
        """
        return next(iter(self._numbered))

    def _shown(self, fps: Fraction) -> Iterator[Shown]:
        end = Fraction(0)
        num_found = 0
        for start, stop, name in self._times():
            if start > end:
                self.lost.append(Span(start=float(end), stop=float(start)))
            end = stop

            if first_frame(start, fps) == first_frame(stop, fps):
                continue  # no frame is taken while it is on the screen
            image = self._load(name)
            if image is None:
                self.lost.append(Span(start=float(start), stop=float(stop)))
            else:
                num_found += 1
                yield Shown(start, stop, av.VideoFrame.from_image(image))

        if not num_found:
            raise VideoError("not one image in it can be read")

    def _times(self) -> list[tuple[Fraction, Fraction, str]]:
        """List start and stop of each image, in seconds after the first one, and its name."""
        numbers = list(self._numbered)
        first = numbers[0]

        times = []
        for number, following in itertools.pairwise([*numbers, numbers[-1] + self._step]):
            start = (number - first) / self._image_fps
            stop = (min(following, number + self._step) - first) / self._image_fps
            times.append((start, stop, self._numbered[number]))
        return times

    @cached_property
    def _step(self) -> int:
        """The most frequent difference of neighbouring numbers; the smallest of several."""
        differences = (after - before for before, after in itertools.pairwise(self._numbered))
        return min(statistics.multimode(differences), default=1)

    @cached_property
    def _numbered(self) -> dict[int, str]:
        """The images by number, in order."""
        names = []
        for name in self._storage.sizes(self._folder):
            path = PurePosixPath(name)
            if str(path.parent) == self._folder and fnmatchcase(path.name, self._images):
                names.append(name)
        return numbered_images(names)

    def _load(self, name: str) -> Image.Image | None:
        try:
            data = self._storage.read(name)
        except StorageError:
            if self._storage.size(name) is None:
                return None  # gone since the folder was listed
            raise

        try:
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                return None
            return ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None


def numbered_images(names: Iterable[str]) -> dict[int, str]:
    """Find the images among some files, by the last number in their names, in its order.

    Raises:
        VideoError: There is none, or there are two of one number.
    """
    found: dict[int, str] = {}
    for name in names:
        path = PurePosixPath(name)
        match = _NUMBER.search(path.stem)
        if match is None or path.suffix.lower() not in SUFFIXES:
            continue

        number = int(match[1])
        if found.setdefault(number, name) != name:
            nameless = f"expected one image of number {number}, got two"
            raise VideoError(f"{nameless}: {found[number]} and {name}", nameless)

    if not found:
        raise VideoError("has no numbered images")
    return dict(sorted(found.items()))
