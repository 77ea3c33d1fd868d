"""Every key of a recipe, with what it may be, its default and its meaning.

`python -m tests.recipe_keys` writes the page. All of it is read off the dataclasses: the meanings off the `Attributes:`
of their docstrings.
"""

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from surgstream.configs.loading import to_tree
from surgstream.configs.ranges import Range
from surgstream.trainer.config import TrainConfig

PAGE = Path(__file__).parent.parent / "docs" / "recipe_keys.md"
HEAD = """\
# Keys of a recipe

Every key of the files in `configs/pretrain`, and of `KEY=VALUE` on a command line. It is written by
`python -m tests.recipe_keys`, and a test compares it with the code. A key without a default must be given.
"""
_ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(sections(TrainConfig, ""))


def sections(config: Any, prefix: str, of: str = "") -> Iterator[str]:
    """A table of a dataclass's keys, then the tables of the sections in it."""
    hints = typing.get_type_hints(config, include_extras=True)
    meanings = attributes(config)
    rows, inner = [], []
    for field in dataclasses.fields(config):
        key, kinds = f"{prefix}{field.name}", members(hints[field.name])
        assert field.name in meanings, f"{config.__name__}: {field.name} is not in its Attributes:"
        parts = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
        may_be = "a section" if parts else " or ".join(map(words, kinds))
        rows.append(f"| `{key}` | {may_be} | {default(field)} | {meanings[field.name]} |\n")
        inner += [(part, key) for part in parts]

    title = prefix.rstrip(".") or "At the top"
    of = getattr(config, "name", of)
    yield f"\n## {title}{f' of {of}' if of else ''}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    yield from rows
    for part, key in inner:
        yield from sections(part, f"{key}.", of)


def attributes(config: Any) -> dict[str, str]:
    """What a dataclass's docstring says of each attribute, on one line."""
    _, _, text = (inspect.getdoc(config) or "").partition("Attributes:\n")
    return {
        name: " ".join(meaning.split()).replace("|", "\\|")
        for name, meaning in _ATTRIBUTE.findall(text)
    }


def members(kind: Any) -> tuple[Any, ...]:
    """What a union is of; anything else is of itself."""
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def words(kind: Any) -> str:
    """A type as a user thinks of it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        ranges = [each for each in arguments[1:] if isinstance(each, Range)]
        return str(ranges[0]) if ranges else "a path"
    if origin is tuple:
        return f"a list of {words(arguments[0])}"
    if origin is dict:
        return f"a mapping to {words(arguments[1])}"
    if dataclasses.is_dataclass(kind):
        return "sections of " + ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
    return {bool: "true or false", str: "text"}.get(kind, str(kind))


def default(field: "dataclasses.Field[Any]") -> str:
    """What a key is where it is not given."""
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        return "its own defaults" if dataclasses.is_dataclass(value) else written(value)
    return "" if field.default is dataclasses.MISSING else written(field.default)


def written(value: Any) -> str:
    """A value as a recipe would have it, on one line."""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(to_tree(value))}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
