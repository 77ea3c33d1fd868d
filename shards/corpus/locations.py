"""The locations of a corpus file: paths and globs, which may lead into tars."""

import glob
import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from surgstream.configs.errors import ConfigError
from surgstream.shards.globs import find, split_glob
from surgstream.shards.storage.addresses import is_address, is_in_bucket, join
from surgstream.shards.storage.base import without_secrets
from surgstream.shards.storage.stores import Stores, split_tar
from surgstream.shards.storage.tars import TarStorage

Match = tuple[str, bool | None]
"""A location that a path or glob stands for, and whether it is a folder: None where the name alone is known."""


def expand(pattern: str, root: str, stores: Stores, *, folders: bool) -> list[str]:
    """The files, or folders, that a path or glob stands for, sorted."""
    # A folder that *.mp4 finds stays, so that the mistake is reported; those that * finds do not.
    keeps_folders = not folders and PurePosixPath(pattern).suffix != ""
    found = set()
    for location, is_folder in _matches(pattern, root, stores):
        if keeps_folders or is_folder in (folders, None):
            found.add(location.rstrip("/"))
    return sorted(found)


def _matches(pattern: str, root: str, stores: Stores) -> Iterator[Match]:
    """What a path or glob stands for."""
    outer, inner = split_tar(pattern)
    if not inner:
        yield from _matches_outside(pattern, root, stores)
        return

    for place, _ in _matches_outside(outer, root, stores):
        storage = stores[place]
        if isinstance(storage, TarStorage):
            for name, is_folder in find(storage.tree(), inner):
                yield f"{place}/{name}", is_folder
        else:
            # A folder that is called so.
            yield from _matches(inner, place, stores)


def _matches_outside(pattern: str, root: str, stores: Stores) -> Iterator[Match]:
    """What a path or glob that does not lead into a tar stands for."""
    head, rest = split_glob(pattern)
    if not glob.has_magic(rest):
        yield located(pattern, root).rstrip("/"), None
        return

    place = located(head, root)
    for name, is_folder in find(stores[place].tree(), rest):
        yield os.path.join(place, name), is_folder


def resolved(location: str) -> str:
    """The location of a file behind all links: two names of one file are one video."""
    return location if is_address(location) else os.path.realpath(location)


def located(path: str, root: str) -> str:
    """A path of a corpus file as an address: relative paths start at the root, addresses stand for themselves."""
    location = join(root, path)
    if not is_address(location):
        return os.path.abspath(location)
    if not is_in_bucket(location):
        raise ConfigError(f"expected a path or s3://BUCKET/KEY, got {without_secrets(location)!r}")
    return location
