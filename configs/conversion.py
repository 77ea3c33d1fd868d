"""Parsed YAML turned into the declared types of dataclasses, with every mistake noted by its path."""

import dataclasses
import math
import re
import sys
import types
import typing
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union

from surgstream.configs.parsing import MAX_INT
from surgstream.configs.places import Place
from surgstream.configs.ranges import Range
from surgstream.configs.suggestions import did_you_mean

_MAX_HINTS = 20
_SHOWN = 200
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string (quote it)",
    tuple: "a list",
    dict: "keys and values",
}


class Converter:
    """Converts values and gathers what is wrong with them.

    Attributes:
        mistakes: A sentence for each mistake, which begins with the path of its key.
    """

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def convert(self, kind: Any, value: Any, path: str, default: Any = None) -> Any:
        """Convert one parsed value to the declared type; on a mistake, note it and return None.

        Args:
            kind: The declared type.
            value: The value, as it was parsed.
            path: The keys that lead to it, such as `optim.base_lr`.
            default: The default of its field, which a section that is given in part keeps for the rest.
        """
        origin = typing.get_origin(kind)
        arguments = typing.get_args(kind)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind, value, path, default)
        if origin in (Union, types.UnionType):
            return self._union(arguments, value, path, default)

        if origin is Annotated:
            kind, rule = arguments
            return self._annotated(kind, rule, value, path)
        if origin is Literal:
            return self._literal(arguments, value, path)
        if origin is tuple:
            return self._tuple(arguments[0], value, path)
        if origin is dict:
            return self._dict(arguments[1], value, path)
        return self._scalar(kind, value, path)

    def _literal(self, allowed: Sequence[Any], value: Any, path: str) -> Any:
        if value in allowed and type(value) in {type(each) for each in allowed}:
            return value
        return self._one_of(allowed, value, path)

    def _tuple(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            return self._mistake(path, "a list", value)
        return tuple(
            self.convert(kind, item, f"{path}[{number}]") for number, item in enumerate(value)
        )

    def _dict(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._mistake(path, "keys and values", value)
        return {key: self.convert(kind, item, f"{path}.{key}") for key, item in value.items()}

    def _annotated(self, kind: Any, rule: Range | Place, value: Any, path: str) -> Any:
        converted = self._scalar(kind, value, path)
        if converted is None:
            return None
        try:
            return rule.read(converted)
        except ValueError as error:
            self.mistakes.append(f"{path}: {error}")

    def _scalar(self, kind: Any, value: Any, path: str) -> Any:
        if kind is float:
            number = _as_float(value)
            return self._mistake(path, _NAMES[float], value) if number is None else number

        # Some integers are even too large to be printed
        if kind is int and type(value) is int and abs(value) >= MAX_INT:
            self.mistakes.append(f"{path}: expected a whole number below 2**63, got a larger one")
            return None

        is_bool_for_int = kind is int and isinstance(value, bool)
        if isinstance(value, kind) and not is_bool_for_int:
            return value
        return self._mistake(path, _name(kind, value), value)

    def _union(self, kinds: tuple[Any, ...], value: Any, path: str, default: Any) -> Any:
        if value is None and types.NoneType in kinds:
            return None
        members = [kind for kind in kinds if kind is not types.NoneType]
        if len(members) == 1:
            return self.convert(members[0], value, path, default)

        tagged = {_tag(kind): kind for kind in members if dataclasses.is_dataclass(kind)}
        if isinstance(value, dict) and len(tagged) > 1:
            name = value.get("name")
            if isinstance(name, str) and name in tagged:
                return self.convert(tagged[name], value, path, default)
            return self._one_of([*tagged], name, join(path, "name"))
        return self._first_that_fits(members, value, path)

    def _first_that_fits(self, members: Sequence[Any], value: Any, path: str) -> Any:
        """The value as the first member that it fits; otherwise the mistakes of the member that is meant."""
        shapes: dict[type, type] = {dict: dict, list: tuple}
        shape = shapes.get(type(value), type(value))
        alike = [kind for kind in members if _shape(kind) is shape]

        attempts = []
        for kind in alike or members:
            attempt = Converter()
            converted = attempt.convert(kind, value, path)
            if not attempt.mistakes:
                return converted
            attempts.append(attempt.mistakes)

        if len(attempts) == 1:
            self.mistakes += attempts[0]
        else:
            self._none_of(members, value, path)
        return None

    def _none_of(self, members: Sequence[Any], value: Any, path: str) -> None:
        """Note a value whose type is none of those allowed."""
        words = [word for kind in members if _is_literal(kind) for word in typing.get_args(kind)]
        names = [_name(_shape(kind), value) for kind in members if not _is_literal(kind)]
        expected = [*names, *map(repr, words)]
        self._mistake(path, " or ".join(expected), value, did_you_mean(value, words))

    def _dataclass(self, cls: Any, value: Any, path: str, default: Any) -> Any:
        if not isinstance(value, dict | list) and hasattr(cls, "shorthand"):
            value = {cls.shorthand: value}
        if not isinstance(value, dict):
            return self._mistake(path, "keys and values", value)

        hints = _hints(cls)
        names = [field.name for field in dataclasses.fields(cls)]
        given = {}
        for key, item in value.items():
            # A section with nothing below it, a bare `optim:`, is as good as absent
            if item is not None or not _is_section(hints.get(key)):
                given[key] = item
        self._unknown_keys(given, names, path)

        defaults = _defaults(cls, default)
        converted = {}
        for name in names:
            num_mistakes = len(self.mistakes)
            key = join(path, name)
            if name in given:
                item = self.convert(hints[name], given[name], key, defaults.get(name))
                if len(self.mistakes) == num_mistakes:
                    converted[name] = item
            elif name not in defaults:
                self.mistakes.append(f"{key}: missing; it has no default")

        if not {*names} <= defaults.keys() | converted.keys():
            return None
        # Defaults stand in for what is wrong, and nothing is said of these
        config = cls(**(defaults | converted))
        wrong = {name for name in names if name in given and name not in converted}
        self._problems_of(config, wrong, path)
        return config

    def _unknown_keys(self, given: dict[str, Any], names: Sequence[str], path: str) -> None:
        for key in given:
            if key in names:
                continue
            hint = ""
            # A hint takes time, and nobody sees those of mistakes that are not shown
            if len(self.mistakes) < _MAX_HINTS:
                hint = did_you_mean(key, names) or f"; known here: {', '.join(names)}"
            self.mistakes.append(f"{join(path, key)}: unknown key{hint}")

    def _problems_of(self, config: Any, wrong: set[str], path: str) -> None:
        """Note what a section says is wrong with its fields together."""
        if not hasattr(config, "problems"):
            return
        for problem in config.problems():
            # A problem that names a wrong field would tell its mistake twice
            if wrong.isdisjoint(re.findall(r"\w+", problem)):
                self.mistakes.append(f"{path}: {problem}" if path else problem)

    def _one_of(self, allowed: Sequence[Any], value: Any, path: str) -> None:
        expected = f"one of {', '.join(map(repr, allowed))}"
        self._mistake(path, expected, value, did_you_mean(value, allowed))

    def _mistake(self, path: str, expected: str, got: Any, hint: str = "") -> None:
        self.mistakes.append(f"{path}: expected {expected}, got {kind_of(got)}{hint}")


def join(path: str, key: str) -> str:
    """The path of a key below another one."""
    return f"{path}.{key}" if path else key


def kind_of(value: Any) -> str:
    """A value as messages show it, not at any length."""
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else f"{value!r}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _as_float(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float | int):
        is_finite = abs(value) <= sys.float_info.max
        return float(value) if is_finite else None

    # YAML reads 1e3 as text
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _shape(kind: Any) -> Any:
    """What the values of a type are: a scalar type, `tuple` for lists, or `dict` for keys and values."""
    if typing.get_origin(kind) is Annotated:
        return typing.get_args(kind)[0]
    return dict if dataclasses.is_dataclass(kind) else typing.get_origin(kind) or kind


def _name(shape: type, value: Any) -> str:
    """What is expected instead of a value; quotes make a string of a scalar only."""
    if shape is str and isinstance(value, list | dict):
        return "a string"
    return _NAMES[shape]


def _defaults(cls: type[Any], default: Any) -> dict[str, Any]:
    """The fields of a section where nothing is given: those of its field's default, or else of its class."""
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
    """Whether a type is a dataclass, or a union with one, that cannot be null."""
    is_union = typing.get_origin(kind) in (Union, types.UnionType)
    kinds = typing.get_args(kind) if is_union else (kind,)
    return types.NoneType not in kinds and any(dataclasses.is_dataclass(each) for each in kinds)


def _tag(cls: Any) -> str:
    return str(typing.get_args(_hints(cls)["name"])[0])


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)
