"""YAML as text: read strictly, without its traps, and bounded in size and in what its aliases amount to."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import open_regular

MAX_INT = 2**63
"""The bound of whole numbers, which are below it."""

_MAX_FILE = 16 * 2**20
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_MAX_VALUES = 10**6


def write_yaml(tree: Any) -> str:
    """Plain dictionaries, lists and scalars as YAML."""
    return yaml.safe_dump(tree, sort_keys=False, width=120)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, and `24:00:00`, which it would read as the number 86400."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in ("int", "float") and ":" in node.value:
            problem = f"{node.value} would be read as a number in base 60; put it in quotes"
            raise _problem(node, problem)

        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # for example of `0b_`
            raise _problem(node, f"{node.value} is no {kind}; put it in quotes") from None

        if isinstance(value, str) and _SURROGATE.search(value):
            raise _problem(node, f"{value!r} is no Unicode text; write the character itself")
        if isinstance(value, int) and abs(value) >= MAX_INT:
            raise _problem(node, "expected whole numbers below 2**63, got a larger one")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _problem(node, "expected keys and values")

        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str):
                raise _problem(node, f"key {key!r} is not a string; quote it")
        for key, count in Counter(keys).items():
            if count > 1:
                raise _problem(node, f"key {key!r} stands here twice")
        return super().construct_mapping(node, deep)


def _problem(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        ConfigError: It cannot be read, is too large, or see `parse_yaml`.
    """
    try:
        with open_regular(path) as file:
            # One byte more than is allowed tells that there is more
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ConfigError(f"{path}: expected at most {_MAX_FILE} bytes of YAML, got more")
        return parse_yaml(data.decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: expected a readable YAML file: {reason}") from None


def parse_yaml(text: str, where: str) -> Any:
    """Parse a text in YAML; `where` is what to call it in messages.

    Raises:
        ConfigError: It is malformed, or larger than any configuration.
    """
    try:
        tree = yaml.load(text, Loader=_StrictLoader)
        # Aliases let a short text stand for millions of values
        if _num_values(tree, {}) > _MAX_VALUES:
            raise ConfigError(
                f"{where}: expected at most {_MAX_VALUES} values, an alias's counted again, "
                "got more"
            )
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{where}: expected a few levels of keys, got too many to read") from None

    return tree


def _num_values(tree: Any, known: dict[int, float]) -> float:
    """The number of values in a tree, with those that aliases repeat counted each time.

    Args:
        tree: Parsed YAML.
        known: The numbers of containers that were counted already, by their identity.
    """
    if not isinstance(tree, dict | list):
        return 1

    if id(tree) not in known:
        # Until it is counted: a container that holds itself has no end
        known[id(tree)] = math.inf
        items = tree.values() if isinstance(tree, dict) else tree
        known[id(tree)] = 1 + sum(_num_values(item, known) for item in items)
    return known[id(tree)]
