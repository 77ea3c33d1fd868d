"""What is known of a source before it is packed: its version, and how much it will come to."""

import dataclasses
import errno
import math
from fractions import Fraction

from shards.corpus import PackConfig
from shards.errors import StorageError, VideoError
from shards.labels import read_labels
from shards.planned import PlannedVideo, Quarantined
from shards.sealed import digest
from shards.sources import Source
from shards.storage import Stores
from shards.video.files import Header
from shards.video.film import find_film
from shards.video.picture import packed_size

BYTES_PER_PIXEL = 0.17
"""Of real laparoscopy at 256 lines and JPEG quality 85. Shards of other pictures come out smaller or larger."""

_UNREADABLE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)
"""What is wrong with one file, and not with a store."""

UNTOLD_BITS_PER_SECOND = 2_000_000
"""Guesses the length of a video whose header does not tell it."""


def probe_source(
    source: Source, options: PackConfig, known: PlannedVideo | None, stores: Stores
) -> PlannedVideo | Quarantined:
    """Look at a video's header, unless the earlier plan already did.

    Args:
        source: The video.
        options: How it will be packed.
        known: What the earlier plan says of it.
        stores: Where `s3://` addresses are read from.

    Raises:
        StorageError: A store fails.
    """
    try:
        labels = {kind: location for kind, location in source.labels.items() if _version(location, stores)}
        own = (
            _version(source.location, stores) if source.image_fps is None else _folder_version(source.location, stores)
        )
        if own is None:
            raise VideoError("is missing")
        version = "+".join([own, *(str(_version(location, stores)) for location in labels.values())])
        if known is not None and known.version == version:
            return dataclasses.replace(known, location=source.location, labels=labels, review=source.review)
        read_labels(labels, stores)
        header = find_film(source.location, stores, image_fps=source.image_fps).header()
        frames, num_bytes = _predict(header, source.location, options, stores)
    except VideoError as error:
        return Quarantined(dataset=source.dataset, video=source.id, source=source.location, reason=str(error))
    return PlannedVideo(
        id=source.id,
        location=source.location,
        version=version,
        labels=labels,
        review=source.review,
        predicted_frames=frames,
        predicted_bytes=num_bytes,
    )


def _version(location: str, stores: Stores) -> str | None:
    storage, name = stores.locate(location)
    try:
        return storage.version(name)
    except StorageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _UNREADABLE:
            raise VideoError(f"cannot be read: {error.__cause__.strerror}") from None
        raise


def _folder_version(location: str, stores: Stores) -> str | None:
    """The same of all files in a folder, by their names and sizes."""
    storage, name = stores.locate(location)
    sizes = storage.sizes(name)
    return f"{len(sizes)}-{digest(sizes)}" if sizes else None


def _predict(header: Header, location: str, options: PackConfig, stores: Stores) -> tuple[int, int]:
    seconds = header.seconds
    if seconds is None:
        storage, name = stores.locate(location)
        seconds = Fraction(8 * (storage.size(name) or 0), UNTOLD_BITS_PER_SECOND)
    frames = max(1, math.ceil(seconds * Fraction(str(options.fps))))
    width, height = packed_size(header.width, header.height, options.short_side, header.pixel_aspect)
    return frames, round(frames * width * height * BYTES_PER_PIXEL)
