"""Where the layer of a video lies: in a video, in an image, or in a folder of numbered images; or nowhere."""

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from surgstream.shards.format.checksummed import digest
from surgstream.shards.storage.stores import TAR, Stores
from surgstream.shards.video.folders import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class LayerPlace:
    """The files of a layer of a video.

    Attributes:
        kind: What they are.
        location: The path or `s3://` address of the file; of images that of the store that has them.
        images: The names of a folder's images in that store.
        version: A text that changes when one of them does.
    """

    kind: Literal["video", "image", "folder"]
    location: str
    images: tuple[str, ...] = ()
    version: str


def find_place(locations: Iterable[str], stores: Stores) -> LayerPlace | None:
    """Find the files of a layer of a video.

    Args:
        locations: Paths or `s3://` addresses, of which the first that is there counts; the last step of each may be a
            glob of images.
        stores: Where `s3://` addresses are read from.

    Returns:
        The files; None where there are none.

    Raises:
        StorageError: A store fails.
    """
    places = (_place(location, stores) for location in locations)
    return next((place for place in places if place is not None), None)


def _place(location: str, stores: Stores) -> LayerPlace | None:
    storage, name = stores.locate(location)
    path = PurePosixPath(name)
    is_image = path.suffix.lower() in SUFFIXES
    inside = {} if is_image else storage.sizes(name)
    if inside:
        return _folder(storage.uri, inside, name, "*")

    version = storage.version(name)
    if version is not None:
        kind: Literal["video", "image"] = "image" if is_image else "video"
        # A folder without files has a version of its own on a disk.
        is_file = is_image or path.suffix != ""
        return LayerPlace(kind=kind, location=location, version=version) if is_file else None

    if glob.has_magic(path.name):
        folder = location.rpartition("/")[0]
        # The images of a tar need no folder in it.
        storage, name = (stores[folder], "") if folder.endswith(TAR) else stores.locate(folder)
        return _folder(storage.uri, storage.sizes(name), name, path.name)
    return None


def _folder(uri: str, sizes: Mapping[str, int], folder: str, pattern: str) -> LayerPlace | None:
    """Take the files of a folder whose names match a pattern."""
    chosen = {}
    for name, size in sizes.items():
        path = PurePosixPath(name)
        if str(path.parent) == (folder or ".") and fnmatchcase(path.name, pattern):
            chosen[name] = size

    if not chosen:
        return None
    return LayerPlace(
        kind="folder",
        location=uri,
        images=tuple(chosen),
        version=f"{len(chosen)}-{digest(chosen)}",
    )
