"""The locations of a corpus file: paths and globs, which may lead into tars."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from surgstream.configs.errors import ConfigError
from surgstream.shards.globs import find, split_glob
from surgstream.shards.storage.addresses import is_address, is_in_bucket, join
from surgstream.shards.storage.base import without_secrets
from surgstream.shards.storage.stores import Stores, split_tar

Match = tuple[str, bool | None]
"""A location that a path or glob stands for, and whether it is a folder: None where the name alone is known."""


def expand(pattern: str, root: str, stores: Stores, *, folders: bool) -> list[str]:
    """The files, or folders, that a path or glob stands for, sorted."""
    outer, inner = split_tar(pattern)
    matches = _matches(outer, root, stores)
    if inner:
        matches = _below(matches, inner, stores)

    # A folder that *.mp4 finds stays, so that the mistake is reported; those that * finds do not.
    keeps_folders = not folders and PurePosixPath(pattern).suffix != ""
    found = set()
    for location, is_folder in matches:
        if keeps_folders or is_folder in (folders, None):
            found.add(location.rstrip("/"))
    return sorted(found)


def _matches(pattern: str, root: str, stores: Stores) -> Iterator[Match]:
    """What a path or glob stands for."""
    head, rest = split_glob(pattern)
    if not glob.has_magic(rest):
        yield located(pattern, root).rstrip("/"), None
        return

    place = located(head, root)
    for name, is_folder in find(stores[place].tree(), rest):
        yield os.path.join(place, name), is_folder


def _below(places: Iterable[Match], pattern: str, stores: Stores) -> Iterator[Match]:
    """What a path or glob stands for inside of tars, or of folders that are called so."""
    for place, _ in places:
        for name, is_folder in find(stores[place].tree(), pattern):
            yield f"{place}/{name}", is_folder


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
