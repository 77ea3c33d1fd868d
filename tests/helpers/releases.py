"""Releases of labels as they were published, but small, and what is read from them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from surgstream.shards.releases.registry import find_release
from surgstream.shards.releases.release import Release, VideoLabel

Files = Mapping[str, str | bytes]
"""Content by path below the release's folder."""


def lay(root: Path, files: Files) -> Path:
    """Write a release's files, and return its folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def small(name: str) -> Release:
    """A release by its name, without what has been counted in the whole of it."""
    return replace(find_release(name), counts=())


def seconds(release: Release, root: Path, column: str) -> dict[str, list[tuple[float, str]]]:
    """The rows of a column for each video."""
    found = {}
    for labels in release.read(root):
        if labels.column == column and not isinstance(labels, VideoLabel):
            found[labels.video] = list(labels.rows)
    return found


def whole(release: Release, root: Path, column: str) -> dict[str, tuple[str, str]]:
    """Label and group of each video, of a column of whole videos."""
    found = {}
    for labels in release.read(root):
        if labels.column == column and isinstance(labels, VideoLabel):
            found[labels.video] = (labels.label, labels.group)
    return found
