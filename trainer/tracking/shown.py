"""What a tracker is shown of a recipe."""

import dataclasses
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Shown = int | float | str


def shown(recipe: Any, path: str = "") -> dict[str, Shown]:
    """Take the numbers and switches of a recipe, and the words that it chose from a list.

    Free text stays behind: paths, addresses, names of tasks and weights may tell of people.

    Args:
        recipe: A dataclass, such as TrainConfig.
        path: The recipe's own place in a larger one, with a dot at its end.

    Returns:
        Values by dotted keys; what is not set is left out.
    """
    hints = get_type_hints(type(recipe))
    values: dict[str, Shown] = {}
    for field in dataclasses.fields(recipe):
        key, value = path + field.name, getattr(recipe, field.name)

        if dataclasses.is_dataclass(value):
            values |= shown(value, f"{key}.")
        elif isinstance(value, bool | int | float) or (
            isinstance(value, str) and value in _words(hints[field.name])
        ):
            values[key] = value
    return values


def _words(kind: Any) -> Iterator[str]:
    """The words that a type lists."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) in (Union, types.UnionType, Annotated):
        for each in get_args(kind):
            yield from _words(each)
