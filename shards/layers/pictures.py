"""The pictures of a layer of one video, found for the pictures of that video."""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.layers import LayerConfig, LayerSource
from surgstream.shards.errors import LayerError, VideoError
from surgstream.shards.format.png import Picture
from surgstream.shards.layers.places import LayerPlace, find_place
from surgstream.shards.layers.values import meant, read_image
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.decode import Damaged, Pictures
from surgstream.shards.video.folders import numbered_images

LOSSLESS_CODECS = ("bmp", "ffv1", "ffvhuff", "huffyuv", "png", "rawvideo", "tiff", "utvideo")
"""FFmpeg's names of codecs that keep every value."""

_FORMATS = ("gray", "gray16le", "gray16be")
_SHARE_OF_PERIOD = Fraction(1, 4)
_UNKNOWN_PERIOD = Fraction(1, 100)


class Moment(NamedTuple):
    """A picture of a video: when it comes on the screen, and where that is known its number.

    Attributes:
        second: Seconds after the first picture.
        image: The number of the image, where the video is a folder of numbered images.
    """

    second: Fraction
    image: int | None = None


class LayerPictures(Protocol):
    """The pictures of a layer of a video."""

    def at(self, moment: Moment) -> tuple[Picture, str] | None:
        """Find the layer's picture of a picture of the video; moments come in order.

        Returns:
            The values, (H, W), and the file's name for messages; None where the layer has no such picture.

        Raises:
            LayerError: The layer is not one of this video, or its values are not such as it can have.
            VideoError: The file is damaged.
            StorageError: The store fails.
        """


@contextlib.contextmanager
def open_pictures(
    place: LayerPlace, config: LayerConfig, stores: Stores, rate: Fraction | None
) -> Iterator[LayerPictures]:
    """Open the layer of a video.

    Args:
        place: Its files.
        config: The settings of the layer.
        stores: Where `s3://` addresses are read from.
        rate: Pictures a second of the video; None where it does not tell.

    Yields:
        Its pictures.

    Raises:
        LayerError: It is of a kind that does not keep values, or of colours.
        VideoError: It is damaged.
        StorageError: The store fails.
    """
    period = None if rate is None else 1 / rate
    if place.kind == "image":
        yield ImageLayer(place, config, stores)
    elif place.kind == "folder":
        yield FolderLayer(place, config, stores, period)
    else:
        with contextlib.closing(_decoded(place.location, stores)) as pictures:
            yield VideoLayer(place, config, pictures, period)


class ImageLayer:
    """The layer of a still image: one image; see `LayerPictures`."""

    def __init__(self, place: LayerPlace, config: LayerConfig, stores: Stores) -> None:
        self._place = place
        self._config = config
        self._stores = stores

    def at(self, moment: Moment) -> tuple[Picture, str] | None:
        """See `LayerPictures.at`."""
        where = self._place.location
        if moment.second:
            raise LayerError(
                f"{where}: expected a lossless video or a folder of numbered images, got one image "
                "for a video of several"
            )
        storage, name = self._stores.locate(where)
        return meant(read_image(storage.read(name), where), self._config, where), where


class FolderLayer:
    """Numbered images, some of which may be missing; see `LayerPictures`."""

    def __init__(
        self, place: LayerPlace, config: LayerConfig, stores: Stores, period: Fraction | None
    ) -> None:
        """List the images.

        Raises:
            VideoError: Two have the same number, or none has any.
        """
        self._storage = stores[place.location]
        self._config = config
        self._period = period
        self._numbered = numbered_images(place.images)

    def at(self, moment: Moment) -> tuple[Picture, str] | None:
        """See `LayerPictures.at`."""
        number = self._number(moment)
        name = None if number is None else self._numbered.get(number)
        if name is None:
            return None
        where = f"{self._storage.uri.rstrip('/')}/{name}"
        return meant(read_image(self._storage.read(name), where), self._config, where), where

    def _number(self, moment: Moment) -> int | None:
        """The number that the image of a moment has; None where it lies between two numbers."""
        if self._config.image_fps is not None:
            rate = Fraction(str(self._config.image_fps))
            number = round(moment.second * rate)
            distance = abs(number / rate - moment.second)
            return number if distance <= _tolerance(1 / rate, self._period) else None

        if moment.image is not None:
            return moment.image
        if self._period is None:
            raise LayerError(
                f"{self._storage.uri}: expected image_fps of the layer, since its video does not "
                "tell how many pictures a second it has, got none"
            )
        return self._config.first + round(moment.second / self._period)


class VideoLayer:
    """A lossless video of the same pictures; see `LayerPictures`."""

    def __init__(
        self,
        place: LayerPlace,
        config: LayerConfig,
        pictures: Iterator[tuple[Fraction, Any, Fraction | None]],
        period: Fraction | None,
    ) -> None:
        """Wait for the first moment.

        Args:
            place: Its file.
            config: The settings of the layer.
            pictures: What `_decoded` yields.
            period: Seconds from a picture of the video to the next one; None where that is not known.
        """
        self._where = place.location
        self._config = config
        self._pictures = pictures
        self._period = period
        self._now = next(pictures, None)
        self._coming = next(pictures, None)
        self._meant: tuple[Any, Picture] | None = None

    def at(self, moment: Moment) -> tuple[Picture, str] | None:
        """See `LayerPictures.at`."""
        while self._now and self._coming and self._is_nearer(moment.second):
            self._now = self._coming
            self._coming = next(self._pictures, None)

        if self._now is None:
            raise VideoError("not one picture of it can be decoded")
        second, picture, period = self._now
        if abs(second - moment.second) > _tolerance(period, self._period):
            raise LayerError(
                f"{self._where}: expected a picture at second {float(moment.second):.3f}, as its "
                f"video has, got the nearest at {float(second):.3f}; make the layer of all pictures "
                "of this very video"
            )

        # A picture that stays is converted once.
        if self._meant is None or self._meant[0] is not picture:
            values = meant(np.asarray(picture.to_ndarray()), self._config, self._where)
            self._meant = picture, values
        return self._meant[1], self._where

    def _is_nearer(self, second: Fraction) -> bool:
        """Whether the picture that comes next is nearer to a time than the one that is shown."""
        assert self._now is not None and self._coming is not None
        return abs(self._coming[0] - second) < abs(self._now[0] - second)


def _tolerance(one: Fraction | None, other: Fraction | None) -> Fraction:
    """The most seconds between pictures that belong together: containers round times, to a millisecond in Matroska."""
    known = [period for period in (one, other) if period is not None]
    return _SHARE_OF_PERIOD * min(known, default=_UNKNOWN_PERIOD)


def _decoded(
    location: str, stores: Stores
) -> Generator[tuple[Fraction, Any, Fraction | None], None, None]:
    """Decode a video of a layer: seconds after the first picture, PyAV's frame, and the usual seconds to the next."""
    with open_video(location, stores) as video:
        codec = video.header.codec
        form = video.stream.codec_context.pix_fmt
        if codec not in LOSSLESS_CODECS:
            raise LayerError(
                f"{location}: expected a video that keeps every value, such as FFV1, got {codec}"
            )
        if form not in _FORMATS:
            raise LayerError(
                f"{location}: expected gray pictures of 8 or 16 bits ({', '.join(_FORMATS)}), got "
                f"{form}"
            )

        period = None if video.header.rate is None else 1 / video.header.rate
        pictures = Pictures(video, strict=True)
        try:
            for shown in pictures:
                yield pictures.scale.seconds(shown.start), shown.picture, period
        except Damaged:
            raise VideoError("a picture of it is missing or broken") from None
        if pictures.lost:
            raise VideoError("its end is missing")


def check_layers(videos: Iterable[tuple[str, Mapping[str, LayerSource]]], stores: Stores) -> None:
    """Check each layer of each dataset by one of its pictures, before frames are packed, which takes long.

    Args:
        videos: The dataset and the layers of each video.
        stores: Where `s3://` addresses are read from.

    Raises:
        ConfigError: A layer has no file at all, so its path is taken to be mistyped.
        LayerError: It is of a kind that does not keep values, or its values are not such as it can have.
        StorageError: A store fails.
    """
    sought: dict[tuple[str, str], list[LayerSource]] = {}
    for dataset, layers in videos:
        for name, source in layers.items():
            sought.setdefault((dataset, name), []).append(source)

    for (dataset, name), sources in sought.items():
        there = ((source, find_place(source.locations, stores)) for source in sources)
        found = next(((source, place) for source, place in there if place is not None), None)
        if found is None:
            raise ConfigError(
                f"datasets: {dataset}: layers.{name}: expected it to be there for at least one of "
                f"{len(sources)} videos, got none, such as {sources[0].locations[0]}; correct the "
                "path, or leave the layer out"
            )
        # A damaged file is the fault of its video alone, and told later.
        with contextlib.suppress(VideoError):
            _sample(found[1], found[0].config, stores)


def _sample(place: LayerPlace, config: LayerConfig, stores: Stores) -> Picture:
    """Read one picture of a layer."""
    if place.kind == "video":
        with contextlib.closing(_decoded(place.location, stores)) as pictures:
            _, picture, _ = next(pictures)
            return meant(np.asarray(picture.to_ndarray()), config, place.location)

    storage, name = stores.locate(place.location)
    if place.kind == "folder":
        storage = stores[place.location]
        name = next(iter(numbered_images(place.images).values()))
    where = f"{storage.uri.rstrip('/')}/{name}"
    return meant(read_image(storage.read(name), where), config, where)
