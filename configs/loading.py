"""YAML files and `a.b=c` overrides, strictly turned into frozen dataclasses.

A room declares its configuration next to the code it configures, as a frozen keyword-only dataclass whose defaults
are the documentation. This module fills such a class from a file: defaults < YAML < command line. A section that is
given in part keeps the rest of its field's default, which may differ from its class's. Unknown keys, wrong types,
duplicate keys and YAML's own traps are errors, all reported at once. A class may define `problems() -> Iterator[str]`
to check its fields against each other. Validation changes no value, except that variables in places are expanded.

Understood field types: bool, int, float, str, `Literal`, `X | None`, `tuple[X, ...]`, `dict[str, X]`, nested
dataclasses, and unions of dataclasses told apart by a `name: Literal[...]` field. `Annotated[int, Range(1, 64)]` gives
a number its range, and `configs.places` has the types of folders and addresses. A class variable `renamed`
(`configs.renamed`) tells whoever writes a key of before what it is called now. A dataclass with a class variable
`shorthand` may be given as the bare value of the field so named. A section with nothing below it, a bare `optim:`, is
as good as absent.

A file may be told as the changes of another one: `base: other.yaml`, at the top, is a file in the same folder that
gives what this one does not, section by section. A list counts as a whole, and a base has no base.
"""

import dataclasses
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from surgstream.configs.conversion import Converter, kind_of
from surgstream.configs.errors import ConfigError
from surgstream.configs.parsing import parse_yaml, read_yaml, write_yaml
from surgstream.configs.renamed import Renamed

T = TypeVar("T")

_MAX_MISTAKES = 20
_MAX_CHARACTERS = 1000
_BASE = "base"
_TIME = re.compile(r"\d+(:\d\d)+")
"""A time such as 24:00:00; a shell takes the quotes away that a file needs."""


def load(cls: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read one YAML file into a dataclass.

    Args:
        cls: The dataclass to fill.
        path: The YAML file.
        overrides: Words such as `optim.base_lr=3e-4`; the value is YAML, the keys are dotted.

    Returns:
        An instance of `cls`.

    Raises:
        ConfigError: The file is missing or malformed, or any key or value is wrong; every mistake is in the message.
    """
    tree = read_tree(path)
    for word in overrides:
        override(tree, word)
    return build(cls, tree, where=str(path))


def read_tree(path: str | Path) -> dict[str, Any]:
    """Read the keys and values of one YAML file, over those of its base where it names one.

    Raises:
        ConfigError: It, or its base, has something else at the top, or cannot be read.
    """
    tree = _own_tree(Path(path))
    if _BASE not in tree:
        return tree

    name = tree.pop(_BASE)
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".yaml"):
        raise ConfigError(
            f"{path}: {_BASE}: expected the name of a .yaml file in the same folder, got {name!r:.80}"
        )
    base = _own_tree(Path(path).parent / name)
    if _BASE in base:
        raise ConfigError(
            f"{path}: {_BASE}: expected a file without a base, got {name}, which has one"
        )
    return _laid_over(base, tree)


def _own_tree(path: Path) -> dict[str, Any]:
    tree = read_yaml(path) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values at the top, got {kind_of(tree)}")
    return tree


def _laid_over(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """The values of a tree, and those of its base that it does not have."""
    merged = dict(base)
    for key, value in tree.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _laid_over(below, value)
        else:
            merged[key] = value
    return merged


def build(cls: type[T], tree: dict[str, Any], *, where: str) -> T:
    """Fill a dataclass from already parsed YAML; see `load`.

    Args:
        cls: The dataclass to fill.
        tree: Parsed keys and values.
        where: The source's name in messages.

    Returns:
        An instance of `cls`.

    Raises:
        ConfigError: Any key or value is wrong; every mistake is in the message.
    """
    renamed: Renamed | None = getattr(cls, "renamed", None)
    told = list(renamed.problems(tree)) if renamed else []
    if renamed and told:
        tree = renamed.translate(tree)

    converter = Converter()
    config = converter.convert(cls, tree, path="")
    mistakes = [*told, *converter.mistakes]
    if not mistakes:
        return typing.cast(T, config)

    lines = [f"{where}: {len(mistakes)} mistake(s)"]
    lines += [mistake[:_MAX_CHARACTERS] for mistake in mistakes[:_MAX_MISTAKES]]
    if len(mistakes) > _MAX_MISTAKES:
        lines.append(f"and {len(mistakes) - _MAX_MISTAKES} more")
    raise ConfigError("\n  ".join(lines))


def to_tree(config: Any) -> Any:
    """The plain dictionaries, lists and scalars of a configuration, which `build` reads back to an equal one."""
    if dataclasses.is_dataclass(config):
        fields = dataclasses.fields(config)
        return {field.name: to_tree(getattr(config, field.name)) for field in fields}
    if isinstance(config, dict):
        return {key: to_tree(value) for key, value in config.items()}
    if isinstance(config, tuple):
        return [to_tree(value) for value in config]
    return config


def to_yaml(config: Any) -> str:
    """The resolved configuration as YAML that `load` reads back to an equal one."""
    return write_yaml(to_tree(config))


def override(tree: dict[str, Any], word: str) -> None:
    """Put the value of a word such as `optim.base_lr=3e-4` into parsed YAML; ConfigError where it is malformed."""
    dotted, equals, text = word.partition("=")
    if not equals or not all(dotted.split(".")):
        raise ConfigError(f"override {word!r}: expected key=value or section.key=value")

    *sections, last = dotted.split(".")
    for section in sections:
        if tree.get(section) is None:
            tree[section] = {}
        if not isinstance(tree[section], dict):
            raise ConfigError(
                f"override {word!r}: {section!r} is {kind_of(tree[section])}, it has no keys below "
                "it"
            )
        tree = tree[section]

    tree[last] = text if _TIME.fullmatch(text) else parse_yaml(text, f"override {word!r}")
