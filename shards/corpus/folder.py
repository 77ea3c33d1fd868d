"""A folder of videos, described as a corpus file would: what `surgstream pack FOLDER OUT` packs."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import override
from surgstream.shards.corpus.locations import resolved
from surgstream.shards.corpus.naming import BY_NAME, fill, telling_apart
from surgstream.shards.globs import walk
from surgstream.shards.storage.addresses import is_address
from surgstream.shards.storage.stores import TAR, Stores

SUFFIXES = (
    "3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf",
    "ogv", "ts", "vob", "webm", "wmv",
)  # fmt: skip
"""Suffixes of video files, in upper or lower case."""


def describe_folder(folder: str, options: Sequence[str], *, hold_out: int) -> dict[str, Any]:
    """Describe a folder: one dataset of all videos in it, at any depth.

    Ids are the names of the files, with those of the folders above them where that is needed to tell them apart.

    Args:
        folder: A folder of this machine, or `s3://BUCKET/PREFIX`.
        options: Options of packing, such as `fps=5`.
        hold_out: The number of videos to hold out, the last ones by name, but never all.

    Returns:
        The keys and values of a corpus file.

    Raises:
        ConfigError: There is no video, or an option is malformed.
        StorageError: The folder cannot be listed.
    """
    place = folder.rstrip("/") if is_address(folder) else os.path.abspath(folder)
    stores = Stores()
    files = list(walk(stores[place].tree()))
    names = [name for name in files if _is_video(name)]
    within = ""
    if not names:
        # Such as datasets are downloaded in.
        within = f"*{TAR}/**/"
        names = list(_in_tars(place, files, stores))
    if not names:
        raise ConfigError(
            f"{folder}: expected a folder with videos ({', '.join(SUFFIXES)}), or with tars of them, got none; "
            "folders of images need a corpus file, see `surgstream pack --help`"
        )

    # In the order in which their globs will be read.
    by_suffix = sorted(names, key=lambda name: (PurePosixPath(name).suffix, name))
    # Reversed: of several links to one file the first one stays, as in `find_sources`.
    locations = [f"{place}/{name}" for name in reversed(by_suffix)]
    once = {resolved(location): location for location in locations}
    videos = sorted(once.values())
    pattern = telling_apart(videos) or BY_NAME
    suffixes = sorted({PurePosixPath(name).suffix for name in names})

    plain_name = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(place).name)
    dataset: dict[str, Any] = {
        "name": plain_name.strip("_")[:80] or "videos",
        "specialty": "unknown",
        "procedure": "unknown",
        "videos": [f"{place}/**/{within}*{suffix}" for suffix in suffixes],
    }
    if pattern != BY_NAME:
        dataset["id"] = pattern
    held_out = videos[max(1, len(videos) - hold_out) :]
    if held_out:
        dataset["hold_out"] = [fill(pattern, video, is_folder=False) for video in held_out]

    described: dict[str, Any] = {"datasets": [dataset]}
    for option in options:
        override(described, f"pack.{option}")
    return described


def _in_tars(place: str, files: Iterable[str], stores: Stores) -> Iterator[str]:
    """The names of the videos in the tars of a folder, which lead through those of the tars."""
    for tar in files:
        # Other machines leave hidden files beside those that they copy, `._0.tar` of `0.tar`.
        if tar.endswith(TAR) and not _is_hidden(tar):
            for name in walk(stores[f"{place}/{tar}"].tree()):
                if _is_video(f"{tar}/{name}"):
                    yield f"{tar}/{name}"


def _is_video(name: str) -> bool:
    suffix = PurePosixPath(name).suffix
    return not _is_hidden(name) and suffix.lower().removeprefix(".") in SUFFIXES


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
