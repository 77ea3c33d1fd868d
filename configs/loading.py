"""YAML files and `a.b=c` overrides, strictly turned into frozen dataclasses.

A room declares its configuration beside the code it configures, as a frozen keyword-only dataclass whose defaults
are the documentation. This module fills such a class from a file: defaults < YAML < command line. A section that is
given in part keeps the rest of its field's default, which may differ from its class's. Unknown keys, wrong types,
duplicate keys and YAML's own traps are errors, all reported at once. A class may define `problems() -> Iterator[str]`
to check its fields against each other. Validation changes no value, except that variables in places are expanded.

Understood field types: bool, int, float, str, `Literal`, `X | None`, `tuple[X, ...]`, `dict[str, X]`, nested
dataclasses, and unions of dataclasses told apart by a `name: Literal[...]` field. `Annotated[int, Range(1, 64)]` gives
a number its range, and `configs.places` has the types of folders and addresses. A dataclass with a class variable
`shorthand` may be given as the bare value of the field so named. A section with nothing below it, a bare `optim:`, is
as good as absent.
"""

import dataclasses
import difflib
import itertools
import math
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from surgstream.configs.errors import ConfigError
from surgstream.configs.parsing import LARGEST_INT, parse_yaml, read_yaml, write_yaml
from surgstream.configs.places import Place
from surgstream.configs.ranges import Range

T = TypeVar("T")

_MOST_MISTAKES = 20
_MOST_CHARACTERS = 1000
_SHOWN = 200
_LONGEST_WORD = 80
_MOST_WORDS = 1000
_TIME = re.compile(r"\d+(:\d\d)+")  # a shell takes the quotes away that a file needs
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


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
    tree = read_yaml(Path(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values at the top, got {_kind(tree)}")
    for word in overrides:
        override(tree, word)
    return build(cls, tree, where=str(path))


def build(cls: type[T], tree: dict[str, Any], *, where: str) -> T:
    """Fill a dataclass from already parsed YAML; see `load`.

    Args:
        cls: The dataclass to fill.
        tree: Parsed keys and values.
        where: What to call the source in messages.

    Returns:
        An instance of `cls`.

    Raises:
        ConfigError: Any key or value is wrong; every mistake is in the message.
    """
    mistakes: list[str] = []
    config = _convert(cls, tree, "", mistakes)
    if mistakes:
        shown = [mistake[:_MOST_CHARACTERS] for mistake in mistakes[:_MOST_MISTAKES]]
        more = [f"and {len(mistakes) - len(shown)} more"] if len(mistakes) > len(shown) else []
        raise ConfigError("\n  ".join([f"{where}: {len(mistakes)} mistake(s)", *shown, *more]))
    return typing.cast(T, config)


def to_tree(config: Any) -> Any:
    """The plain dictionaries, lists and scalars of a configuration: what `build` reads back to an equal one."""
    if dataclasses.is_dataclass(config):
        return {
            field.name: to_tree(getattr(config, field.name)) for field in dataclasses.fields(config)
        }
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
                f"override {word!r}: {section!r} is {_kind(tree[section])}, it has no keys below it"
            )
        tree = tree[section]
    tree[last] = text if _TIME.fullmatch(text) else parse_yaml(text, f"override {word!r}")


def _convert(kind: Any, value: Any, path: str, mistakes: list[str], default: Any = None) -> Any:
    """Convert one parsed value to the declared type; on a mistake, note it and return None."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, path, mistakes, default)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, path, mistakes, default)
    if origin is Annotated:
        kind, rule = arguments
        return _convert_annotated(kind, rule, value, path, mistakes)

    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        return _mistake(
            mistakes,
            path,
            f"one of {', '.join(map(repr, arguments))}",
            value,
            did_you_mean(value, arguments),
        )
    if origin is tuple:
        if isinstance(value, list):
            return tuple(
                _convert(arguments[0], item, f"{path}[{i}]", mistakes)
                for i, item in enumerate(value)
            )
        return _mistake(mistakes, path, "a list", value)
    if origin is dict:
        if isinstance(value, dict):
            return {
                key: _convert(arguments[1], item, f"{path}.{key}", mistakes)
                for key, item in value.items()
            }
        return _mistake(mistakes, path, "keys and values", value)
    return _convert_scalar(kind, value, path, mistakes)


def _convert_annotated(
    kind: Any, rule: Range | Place, value: Any, path: str, mistakes: list[str]
) -> Any:
    converted = _convert_scalar(kind, value, path, mistakes)
    if converted is None:
        return None
    try:
        return rule.read(converted)
    except ValueError as error:
        mistakes.append(f"{path}: {error}")


def _convert_scalar(kind: Any, value: Any, path: str, mistakes: list[str]) -> Any:
    if kind is float and not isinstance(value, bool):
        if (
            isinstance(value, float | int) and abs(value) <= sys.float_info.max
        ):  # not infinite, and a number
            return float(value)
        if (
            isinstance(value, str) and _FLOAT.fullmatch(value) and math.isfinite(float(value))
        ):  # YAML reads 1e3 as text
            return float(value)
    if (
        kind is int and type(value) is int and abs(value) >= LARGEST_INT
    ):  # some are even too large to be printed
        mistakes.append(f"{path}: expected a whole number below 2**63, got a larger one")
        return None
    if (
        kind is not float
        and isinstance(value, kind)
        and not (kind is int and isinstance(value, bool))
    ):
        return value
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a string (quote it)",
    }
    return _mistake(mistakes, path, names[kind], value)


def _convert_union(
    kinds: tuple[Any, ...], value: Any, path: str, mistakes: list[str], default: Any
) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    members = [kind for kind in kinds if kind is not types.NoneType]
    if len(members) == 1:
        return _convert(members[0], value, path, mistakes, default)
    tagged = {_tag(kind): kind for kind in members if dataclasses.is_dataclass(kind)}
    if isinstance(value, dict) and len(tagged) > 1:
        name = value.get("name")
        if isinstance(name, str) and name in tagged:
            return _convert(tagged[name], value, path, mistakes, default)
        return _mistake(
            mistakes,
            _join(path, "name"),
            f"one of {', '.join(map(repr, tagged))}",
            name,
            did_you_mean(name, tagged),
        )

    # What is wrong is told of the member that is meant.
    shape = dict if isinstance(value, dict) else tuple if isinstance(value, list) else None
    members = [kind for kind in members if _container(kind) is shape] or members
    attempts: list[list[str]] = []
    for kind in members:
        attempts.append([])
        result = _convert(kind, value, path, attempts[-1])
        if not attempts[-1]:
            return result
    mistakes.extend(
        attempts[0] if len(attempts) == 1 else [" or: ".join(attempt[0] for attempt in attempts)]
    )
    return None


def _container(kind: Any) -> Any:
    origin = typing.get_origin(kind)
    return origin if origin in (dict, tuple) else None


def _convert_dataclass(cls: Any, value: Any, path: str, mistakes: list[str], default: Any) -> Any:
    if not isinstance(value, dict | list) and hasattr(cls, "shorthand"):
        value = {cls.shorthand: value}
    if not isinstance(value, dict):
        return _mistake(mistakes, path, "keys and values", value)

    hints = _hints(cls)
    value = {
        key: item
        for key, item in value.items()
        if item is not None or not _is_section(hints.get(key))
    }
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in [key for key in value if key not in fields]:
        # A hint takes time, and nobody sees those of mistakes that are not shown
        told = len(mistakes) < _MOST_MISTAKES
        hint = (did_you_mean(key, fields) or f"; known here: {', '.join(fields)}") if told else ""
        mistakes.append(f"{_join(path, key)}: unknown key{hint}")

    defaults = _defaults(cls, default)
    known = {}
    for name in fields:
        before = len(mistakes)
        if name in value:
            converted = _convert(
                hints[name], value[name], _join(path, name), mistakes, defaults.get(name)
            )
            if len(mistakes) == before:
                known[name] = converted
        elif name not in defaults:
            mistakes.append(f"{_join(path, name)}: missing; it has no default")

    if not fields.keys() <= defaults.keys() | known.keys():
        return None
    config = cls(
        **(defaults | known)
    )  # defaults stand in for what is wrong, and nothing is said of these
    # A problem that names a wrong field would tell its mistake twice
    wrong = fields.keys() & value.keys() - known.keys()
    for problem in _problems(config):
        if wrong.isdisjoint(re.findall(r"\w+", problem)):
            mistakes.append(f"{path}: {problem}" if path else problem)
    return config


def _defaults(cls: type[Any], default: Any) -> dict[str, Any]:
    """What a section's fields are where nothing is given: those of its field's default, or else of its class."""
    if type(default) is cls:
        return dict(vars(default))
    defaults = {}
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
    return defaults


def _is_section(kind: Any) -> bool:
    kinds = (
        typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)
    )
    return types.NoneType not in kinds and any(dataclasses.is_dataclass(member) for member in kinds)


def _problems(config: Any) -> Iterator[str]:
    check = getattr(config, "problems", None)
    return check() if check else iter(())


def _tag(cls: Any) -> str:
    return str(typing.get_args(_hints(cls)["name"])[0])


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _mistake(mistakes: list[str], path: str, expected: str, got: Any, hint: str = "") -> None:
    mistakes.append(f"{path}: expected {expected}, got {_kind(got)}{hint}")


def did_you_mean(word: Any, known: Iterable[Any]) -> str:
    """A hint at the known word that is most like this one, to end a message with; empty where none is.

    It is looked for among a thousand words, and for a word alone, so that it takes no time.
    """
    if not isinstance(word, str) or len(word) > _LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(
        word, [str(k) for k in itertools.islice(known, _MOST_WORDS)], n=1
    )
    return f"; did you mean {near[0]!r}?" if near else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else f"{value!r}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
