"""Take the layers of one video: for each packed frame the picture that belongs to it, at its size, as PNG."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.layers import LayerConfig
from surgstream.shards.errors import VideoError
from surgstream.shards.format.png import Picture, to_png
from surgstream.shards.format.records import Box, PackedVideo
from surgstream.shards.layers.pictures import LayerPictures, Moment, open_pictures
from surgstream.shards.layers.places import LayerPlace
from surgstream.shards.layers.values import framed
from surgstream.shards.screening.borders import find_border
from surgstream.shards.spool import MEMORY_BYTES, Spool, spool
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.folders import ImageFolder
from surgstream.shards.video.framing import Framer
from surgstream.shards.video.picture import Framing
from surgstream.shards.video.sources import Film, find_film


@dataclass(frozen=True, kw_only=True)
class FoundLayer:
    """A layer of a video, where it has one."""

    place: LayerPlace
    config: LayerConfig


@dataclass(frozen=True, kw_only=True)
class LayeredVideo:
    """A packed video with layers.

    Attributes:
        packed: The video, as its shard has it.
        location: Path or `s3://` address of its source.
        hidden: Whether the name of the source must not be told.
        image_fps: See `shards.corpus.file.DatasetConfig`.
        images: See there.
        still: Whether the source is one image.
        crop: The part of its stored pictures that was kept; None for all.
        lost_start: Whether its first pictures could not be decoded.
        layers: Its layers by name; those that it does not have are missing.
    """

    packed: PackedVideo
    location: str
    hidden: bool
    image_fps: float | None
    images: str
    still: bool
    crop: Box | None
    lost_start: bool
    layers: dict[str, FoundLayer]

    @property
    def id(self) -> str:
        """Its id."""
        return self.packed.id


@dataclass
class Taken:
    """The pictures of a layer of a video, while and after they are taken.

    Attributes:
        pngs: The pictures that were found.
        places: Where each is in `pngs`, by the number of its frame.
        error: Why there are none: the layer is damaged.
    """

    pngs: Spool
    places: dict[int, int]
    error: VideoError | None = None

    def png(self, frame: int) -> bytes:
        """The picture of a frame; empty where there is none."""
        place = self.places.get(frame)
        return b"" if place is None else self.pngs.read(place)

    def spoiled(self, error: VideoError) -> None:
        """Give up the layer."""
        self.error = error
        self.places = {}


@contextlib.contextmanager
def take_layers(
    video: LayeredVideo, names: list[str], options: PackConfig, stores: Stores, threads: int
) -> Iterator[dict[str, Taken]]:
    """Take some layers of a video. Its source is decoded again: only that tells which pictures its frames show.

    Args:
        video: The video.
        names: The layers, all of which it has.
        options: The options that its frames were packed by.
        stores: Where `s3://` addresses are read from.
        threads: Number of threads that decode.

    Yields:
        What was taken, by layer.

    Raises:
        LayerError: A layer is not one of this video, or its values are not such as it can have.
        StorageError: A store fails, or the temporary folder is full.
    """
    with ExitStack() as stack:
        share = MEMORY_BYTES // len(names)
        taken = {name: Taken(stack.enter_context(spool(share)), {}) for name in names}
        try:
            _take(video, taken, options, stores, threads)
        except VideoError as error:
            # The source is at fault, and so all layers are.
            for each in taken.values():
                each.spoiled(error)
        yield taken


def _take(
    video: LayeredVideo,
    taken: dict[str, Taken],
    options: PackConfig,
    stores: Stores,
    threads: int,
) -> None:
    if video.lost_start:
        raise VideoError("its first pictures are lost, so that those of a layer cannot be told")

    film = find_film(
        video.location,
        stores,
        image_fps=video.image_fps,
        images=video.images,
        still=video.still,
        threads=threads,
        gpu=options.decode == "nvdec",
    )
    framer = Framer(options.short_side, _crop(video, film, options))
    wanted = {
        frame
        for part in video.packed.parts
        for frame in range(part.first_frame, part.first_frame + part.num_frames)
    }
    last = max(wanted)

    with ExitStack() as stack:
        layers = _Layers(video, taken, film, stores, stack)
        for number, second, picture in film.timed(Fraction(str(options.fps))):
            shape = film.shape(picture)
            framing = framer.of(shape)
            if number in wanted:
                wanted.remove(number)
                layers.take(number, second, shape, framing)
            if number >= last:
                break

    if wanted or (framer.width, framer.height) != (video.packed.width, video.packed.height):
        raise VideoError(
            f"expected its {video.packed.num_frames} frames of "
            f"{video.packed.width}x{video.packed.height} pixels as they were packed, got others: "
            f"{len(wanted)} are missing, of {framer.width}x{framer.height}; pack its shard again"
        )


def _crop(video: LayeredVideo, film: Film, options: PackConfig) -> tuple[Box, Shape] | None:
    """Find the crop of the frames again, with the shape of the pictures that it is of."""
    border = find_border(film) if options.crop_borders else None
    if (None if border is None else border.box) != video.crop:
        raise VideoError(
            "its borders were found elsewhere when it was packed; pack its shard again"
        )
    return None if border is None else (border.box, border.shape)


class _Layers:
    """The layers of a video that are being taken; each ends where it turns out to be damaged."""

    def __init__(
        self,
        video: LayeredVideo,
        taken: dict[str, Taken],
        film: Film,
        stores: Stores,
        stack: ExitStack,
    ) -> None:
        self._taken = taken
        self._open: dict[str, LayerPictures] = {}
        self._framed: dict[str, tuple[Picture, Framing, bytes]] = {}

        # The numbers of a folder's images are those of its layers' images.
        self._image_fps = None if video.image_fps is None else Fraction(str(video.image_fps))
        self._first_image = film.first_number if isinstance(film, ImageFolder) else 0

        rate = film.header().rate
        for name in taken:
            found = video.layers[name]
            with self._noting(name):
                opening: Any = open_pictures(found.place, found.config, stores, rate)
                self._open[name] = stack.enter_context(opening)

    def take(self, number: int, second: Fraction, shape: Shape, framing: Framing) -> None:
        """Take the pictures of a frame, which was made by `framing` of a picture that came at `second`."""
        image = None
        if self._image_fps is not None:
            image = self._first_image + round(second * self._image_fps)

        for name, pictures in list(self._open.items()):
            with self._noting(name):
                found = pictures.at(Moment(second, image))
                if found is not None:
                    taken = self._taken[name]
                    taken.places[number] = len(taken.places)
                    taken.pngs.append(self._png(name, *found, shape, framing))

    def _png(
        self, name: str, picture: Picture, where: str, shape: Shape, framing: Framing
    ) -> bytes:
        """Bring a picture to the size of its frame, and encode it; one that stays is encoded once."""
        before = self._framed.get(name)
        if before is None or before[0] is not picture or before[1] is not framing:
            png = to_png(framed(picture, shape, framing, where))
            before = self._framed[name] = (picture, framing, png)
        return before[2]

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Give up a layer that is damaged."""
        try:
            yield
        except VideoError as error:
            self._open.pop(name, None)
            self._taken[name].spoiled(error)
