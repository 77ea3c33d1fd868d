"""What is known of a source before it is packed: its version, and how much it will come to."""

import dataclasses
import math
from fractions import Fraction

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.labels import read_labels
from surgstream.shards.corpus.sources import Source
from surgstream.shards.errors import UnusableFileError, VideoError
from surgstream.shards.format.checksummed import digest
from surgstream.shards.format.quarantine import Quarantined, quarantined
from surgstream.shards.packing.plan_records import PlannedVideo
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import Header
from surgstream.shards.video.picture import packed_size
from surgstream.shards.video.sources import find_film

BYTES_PER_PIXEL = 0.17
"""Of real laparoscopy at 256 lines and JPEG quality 85. Shards of other pictures come out smaller or larger."""

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
        # A video need not have every label file; those that are there belong to its version.
        labels = {
            kind: location for kind, location in source.labels.items() if _version(location, stores)
        }
        own = (
            _version(source.location, stores)
            if source.image_fps is None
            else _folder_version(source.location, stores)
        )
        if own is None:
            raise VideoError("is missing")

        version = "+".join(
            [own, *(str(_version(location, stores)) for location in labels.values())]
        )
        if source.hidden:
            version = digest({"version": version})  # the time of a file may be that of an operation
        if known is not None and known.version == version:
            return dataclasses.replace(
                known,
                location=source.location,
                labels=labels,
                review=source.review,
                hidden=source.hidden,
            )

        # Read only to find out now what would put the video into quarantine later.
        read_labels(labels, stores)
        header = find_film(source.location, stores, image_fps=source.image_fps).header()
        frames, num_bytes = _predict(header, source.location, options, stores)
    except UnusableFileError as error:
        reason = getattr(error.__cause__, "strerror", None) or "it is no file"
        return quarantined(source.dataset, source, VideoError(f"cannot be read: {reason}"))
    except VideoError as error:
        return quarantined(source.dataset, source, error)

    return PlannedVideo(
        id=source.id,
        location=source.location,
        version=version,
        labels=labels,
        review=source.review,
        predicted_frames=frames,
        predicted_bytes=num_bytes,
        hidden=source.hidden,
    )


def _version(location: str, stores: Stores) -> str | None:
    storage, name = stores.locate(location)
    return storage.version(name)


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
    width, height = packed_size(
        header.width, header.height, options.short_side, header.pixel_aspect
    )
    return frames, round(frames * width * height * BYTES_PER_PIXEL)
