"""The ids of videos: by default the names of their files, or these with the names of the folders above them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean

BY_NAME = "{stem}"
"""The pattern of ids unless a dataset has another one."""

_HIGHER = range(3, 7)
PATTERNS = (
    BY_NAME,
    "{parent}_{stem}",
    "{grandparent}_{parent}_{stem}",
    *(f"{{parent{up}}}_{{stem}}" for up in _HIGHER),
)
"""From short to long: recorders call every operation's first file 00000.MTS, and only folders tell them apart, as in
case1/PRIVATE/AVCHD/BDMV/STREAM/00000.MTS."""

_FIELDS = ("stem", "parent", "grandparent", *(f"parent{up}" for up in _HIGHER))
_FIELD = re.compile(r"\{(\w*)\}")
_SHOWN = 10


def fill(pattern: str, location: str, *, is_folder: bool, **more: str) -> str:
    """Put the names of a video's path into a pattern.

    Args:
        pattern: With `{stem}`, the name of the file without its suffix, `{parent}`, that of its folder, or
            `{grandparent}`, that of the folder's folder, and `{parent3}` to `{parent6}` above, where they go.
        location: The video's path or `s3://` address.
        is_folder: Whether it is a folder of images; then its whole name is the stem.
        more: Further fields and their values.
    """
    path = PurePosixPath(location)
    names = {
        "stem": path.name if is_folder else path.stem,
        "parent": path.parent.name,
        "grandparent": path.parent.parent.name,
    }
    for up in _HIGHER:
        if up <= len(path.parents):
            names[f"parent{up}"] = path.parents[up - 1].name
    names |= more

    # An unknown field, or one above the root, stays as it is.
    return _FIELD.sub(lambda field: names.get(field[1], field[0]), pattern)


def problems(pattern: str) -> Iterator[str]:
    """Yield the mistakes in a pattern of ids, in words."""
    fields = _FIELD.findall(pattern)
    for field in fields:
        if field not in _FIELDS:
            known = "{stem}, {parent}, {grandparent} and {parent3} to {parent6}"
            yield f"expected {known}, got {{{field}}}{did_you_mean(field, _FIELDS)}"
    if not fields or re.search("[{}]", _FIELD.sub("", pattern)):
        yield f"expected a pattern such as {PATTERNS[1]!r}, got {pattern!r}"


def by_id(pattern: str, locations: Iterable[str], *, folders: bool, where: str) -> dict[str, str]:
    """Videos by their ids, in order.

    Args:
        pattern: The pattern of ids.
        locations: Paths or addresses of the videos.
        folders: Whether they are folders of images.
        where: The name of the dataset in messages.

    Raises:
        ConfigError: Several have the same id; the first ten such ids are named.
    """
    videos = list(locations)
    found = _grouped(pattern, videos, folders)
    shared = {id: places for id, places in found.items() if len(places) > 1}
    if not shared:
        return {id: places[0] for id, places in found.items()}

    longer = telling_apart(videos, folders=folders)
    remedy = "rename them"
    if longer is not None:
        remedy = f"set `id: {longer!r}` for this dataset, or rename them"
    lines = [f"{where}: expected one video of an id, got {len(shared)} ids of several; {remedy}"]
    for id, places in list(shared.items())[:_SHOWN]:
        lines.append(f"{id!r}: {' and '.join(places[:3])}")
    if len(shared) > _SHOWN:
        lines.append(f"and {len(shared) - _SHOWN} more")
    raise ConfigError("\n  ".join(lines))


def telling_apart(locations: Iterable[str], *, folders: bool = False) -> str | None:
    """The shortest pattern by which videos have ids that differ; None where there is none."""
    videos = list(locations)
    for pattern in PATTERNS:
        if len(_grouped(pattern, videos, folders)) == len(videos):
            return pattern
    return None


def label_files(
    labels: Mapping[str, str], location: str, id: str, *, is_folder: bool
) -> dict[str, str]:
    """A video's label files by kind, from patterns with `{video}` where its id goes, or the fields of an id."""
    return {
        kind: fill(pattern, location, is_folder=is_folder, video=id)
        for kind, pattern in labels.items()
    }


def _grouped(pattern: str, locations: Iterable[str], folders: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for location in locations:
        id = fill(pattern, location, is_folder=folders)
        found.setdefault(id, []).append(location)
    return found
