"""Probe a source before it is packed: its version, and the frames and bytes expected of it."""

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
"""JPEG bytes of real laparoscopy at 256 lines and quality 85. Shards of other pictures come out smaller or larger."""

UNTOLD_BITS_PER_SECOND = 2_000_000
"""Bit rate by which the length of a video is guessed whose header does not tell it."""


def probe_source(
    source: Source, options: PackConfig, known: PlannedVideo | None, stores: Stores
) -> PlannedVideo | Quarantined:
    """Read a video's header, unless the earlier plan already knows this version of it.

    Args:
        source: The video.
        options: The options of packing.
        known: The video in the earlier plan, if it is there.
        stores: Where `s3://` addresses are read from.

    Returns:
        The video as planned, or its record in quarantine.

    Raises:
        StorageError: A store fails.
    """
    try:
        return _probe(source, options, known, stores)
    except UnusableFileError as error:
        reason = getattr(error.__cause__, "strerror", None) or "it is no file"
        return quarantined(source.dataset, source, VideoError(f"cannot be read: {reason}"))
    except VideoError as error:
        return quarantined(source.dataset, source, error)


def _probe(
    source: Source, options: PackConfig, known: PlannedVideo | None, stores: Stores
) -> PlannedVideo:
    # A video need not have every label file; those that are there belong to its version.
    versions = {kind: _version(location, stores) for kind, location in source.labels.items()}
    labels = {kind: location for kind, location in source.labels.items() if versions[kind]}
    version = _joint_version(source, [str(versions[kind]) for kind in labels], stores)

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
    film = find_film(
        source.location,
        stores,
        image_fps=source.image_fps,
        images=source.images,
        still=source.still,
    )
    header = film.header()
    num_frames, num_bytes = _predict(header, source.location, options, stores)

    return PlannedVideo(
        id=source.id,
        location=source.location,
        version=version,
        labels=labels,
        review=source.review,
        predicted_frames=num_frames,
        predicted_bytes=num_bytes,
        hidden=source.hidden,
    )


def _joint_version(source: Source, of_labels: list[str], stores: Stores) -> str:
    """Join the versions of a video and of its label files."""
    version_of = _version if source.image_fps is None else _folder_version
    own = version_of(source.location, stores)
    if own is None:
        raise VideoError("is missing")

    version = "+".join([own, *of_labels])
    # A version may have the time of the file, which may be that of the operation.
    return digest({"version": version}) if source.hidden else version


def _version(location: str, stores: Stores) -> str | None:
    storage, name = stores.locate(location)
    return storage.version(name)


def _folder_version(location: str, stores: Stores) -> str | None:
    """Make a version of the names and sizes of all files in a folder; None if it is empty."""
    storage, name = stores.locate(location)
    sizes = storage.sizes(name)
    return f"{len(sizes)}-{digest(sizes)}" if sizes else None


def _predict(header: Header, location: str, options: PackConfig, stores: Stores) -> tuple[int, int]:
    """Predict the number of frames and their bytes."""
    seconds = header.seconds
    if seconds is None:
        storage, name = stores.locate(location)
        num_bits = 8 * (storage.size(name) or 0)
        seconds = Fraction(num_bits, UNTOLD_BITS_PER_SECOND)
    num_frames = max(1, math.ceil(seconds * Fraction(str(options.fps))))

    width, height = packed_size(
        header.width, header.height, options.short_side, header.pixel_aspect
    )
    return num_frames, round(num_frames * width * height * BYTES_PER_PIXEL)
