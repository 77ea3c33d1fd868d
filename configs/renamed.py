"""Keys that had another name before: one table tells whoever writes the old one, and reads what was saved with it."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]
_ABSENT = object()


@dataclass(frozen=True)
class Renamed:
    """The earlier names of a configuration's keys, and of some of their values.

    A configuration class has such a table as the class variable `renamed`: `load` then says what a key is called now,
    and `translate` gives what was saved under old names today's.

    Attributes:
        keys: By the dotted key of before, the one of now.
        values: By a dotted key of now, the value of now for each one of before. The key may hold a list of such values.
    """

    keys: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def problems(self, tree: Tree) -> Iterator[str]:
        """Say what each old key and value of a parsed configuration is called now."""
        for before, now in self.keys.items():
            if _get(tree, before) is not _ABSENT:
                values = ", ".join(
                    f"{old} is {new}" for old, new in self.values.get(now, {}).items()
                )
                yield f"{before}: is now {now}" + (f" ({values})" if values else "")

        for key, names in self.values.items():
            given = _get(tree, key)
            for value in given if isinstance(given, list) else [given]:
                if isinstance(value, str) and value in names:
                    yield f"{key}: {value!r} is now {names[value]!r}"

    def translate(self, tree: Tree) -> Tree:
        """A copy of a saved configuration in which everything has the name of now."""
        tree = copy.deepcopy(tree)
        for before, now in self.keys.items():
            value = _get(tree, before)
            if value is not _ABSENT:
                _parent(tree, before).pop(before.rpartition(".")[2])
                _parent(tree, now)[now.rpartition(".")[2]] = value

        for key, names in self.values.items():
            value = _get(tree, key)
            if isinstance(value, list):
                value[:] = [_renamed(item, names) for item in value]
            elif value is not _ABSENT:
                _parent(tree, key)[key.rpartition(".")[2]] = _renamed(value, names)
        return tree


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    return names.get(value, value) if isinstance(value, str) else value


def _get(tree: Any, dotted: str) -> Any:
    """The value at a dotted key, or `_ABSENT`."""
    for key in dotted.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return _ABSENT
        tree = tree[key]
    return tree


def _parent(tree: Tree, dotted: str) -> Tree:
    """The section that a dotted key stands in; it is made where there is none."""
    for key in dotted.split(".")[:-1]:
        tree = tree.setdefault(key, {})
    return tree
