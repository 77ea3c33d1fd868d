"""Globs over a tree of names: the same answer for a folder of a file system and for a prefix of a bucket.

A pattern means what `glob.glob(pattern, recursive=True)` makes of it: `**` is any number of folders, also none, and
what begins with a dot is found only by a step that does so as well. Only a step that is itself the name of an entry
means that entry alone, whatever brackets are in it.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

_ANY_FOLDERS = "**"
_LITERAL_HEAD = re.compile(r"(?:[^*?[/]*/)*")


class Tree(Protocol):
    """A folder."""

    def items(self) -> "Iterable[tuple[str, Tree | None]]":
        """Its entries: a name, and a tree if the entry is a folder."""


class Names:
    """The tree of a flat listing, such as a bucket's. Names that end in a slash are folders, be they empty."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._files: list[str] = []
        self._folders: dict[str, Names] = {}
        for name in names:
            *folders, file = name.split("/")
            here = self
            for folder in folders:
                here = here._folders.setdefault(folder, Names())
            if file:
                here._files.append(file)

    def items(self) -> "Iterator[tuple[str, Names | None]]":
        """See `Tree.items`. A store may have a file and a folder of one name."""
        yield from ((name, None) for name in self._files)
        yield from self._folders.items()


class FolderTree:
    """The tree of a folder, read when it is asked for. Symbolic links are followed, never in circles."""

    def __init__(
        self,
        root: Path,
        entries: Callable[[str], list[tuple[str, bool]]],
        inside: str = "",
        above: frozenset[str] = frozenset(),
    ) -> None:
        """Read nothing yet.

        Args:
            root: The folder at which the tree begins.
            entries: Lists a folder below the root: names, and whether each is a folder's.
            inside: This folder's name below the root, with its slash; empty for the root itself.
            above: The resolved folders on the way here.
        """
        self._root = root
        self._entries = entries
        self._inside = inside
        self._above = above

    def items(self) -> "Iterator[tuple[str, FolderTree | None]]":
        """See `Tree.items`."""
        here = os.path.realpath(self._root / self._inside)
        if here in self._above:
            return

        above = self._above | {here}
        for name, is_folder in self._entries(self._inside):
            below = f"{self._inside}{name}/"
            yield name, FolderTree(self._root, self._entries, below, above) if is_folder else None


def split_glob(pattern: str) -> tuple[str, str]:
    """The folder up to which a pattern holds no magic, with its slash, and the rest."""
    head = _LITERAL_HEAD.match(pattern)
    assert head is not None  # it matches the empty string
    return pattern[: head.end()], pattern[head.end() :]


def find(tree: Tree, pattern: str) -> Iterator[tuple[str, bool]]:
    """Find what a pattern matches, and read no more of the tree than that takes.

    Args:
        tree: Where the pattern starts.
        pattern: Steps with slashes between them.

    Yields:
        Each name below the tree that matches, in no order, and whether it is a folder. The tree itself is "".
    """
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    # Places are indices into `steps`; at `end` all of the pattern is matched.
    end = len(steps)
    start = _skipping(steps, {0})
    if end in start:
        yield "", True

    # A folder's name with its slash, its tree, and the places that are reached there.
    ahead = [("", tree, start)]
    while ahead:
        inside, tree, places = ahead.pop()
        entries = list(tree.items())
        names = {name for name, _ in entries}
        for name, below in entries:
            after = _skipping(steps, _step(steps, places, name, names))
            is_folder = below is not None
            if end in after:
                yield inside + name, is_folder
            if below is not None and after - {end}:
                ahead.append((f"{inside}{name}/", below, after))


def walk(tree: Tree) -> Iterator[str]:
    """All names below a tree that are no folders', in no order."""
    ahead = [("", tree)]
    while ahead:
        inside, tree = ahead.pop()
        for name, below in tree.items():
            if below is None:
                yield inside + name
            else:
                ahead.append((f"{inside}{name}/", below))


def _step(steps: list[str], places: set[int], name: str, names: set[str]) -> set[int]:
    """The places in a pattern that are reached by an entry, from any of the places before it."""
    after = set()
    for place in places - {len(steps)}:
        step = steps[place]
        if step == _ANY_FOLDERS:
            if not name.startswith("."):
                after.add(place)
        elif name == step or (step not in names and _matches(name, step)):
            after.add(place + 1)
    return after


def _skipping(steps: list[str], places: set[int]) -> set[int]:
    """Places in a pattern, and those behind each `**`, which may stand for no folder at all."""
    reached = set[int]()
    for place in places:
        reached.add(place)
        while place < len(steps) and steps[place] == _ANY_FOLDERS:
            place += 1
            reached.add(place)
    return reached


def _matches(name: str, step: str) -> bool:
    is_found = step.startswith(".") or not name.startswith(".")
    return is_found and fnmatchcase(name, step)
