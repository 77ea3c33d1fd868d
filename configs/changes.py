"""What differs between two configurations, and between one and its defaults."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from surgstream.configs.loading import to_tree


def changes(before: dict[str, Any], config: Any) -> list[str]:
    """List the differences of a configuration from an earlier one.

    Args:
        before: The earlier one's tree, as JSON has it.
        config: The configuration now.

    Returns:
        One `key: before -> now` for each difference but those in `free_keys`.
    """
    then = dict(_leaves(before))
    now = dict(_leaves(to_tree(config)))
    # The dot at the end lets `data.order` cover all below it, but no longer name.
    free = tuple(f"{key}." for key in free_keys(config))

    found = []
    for key in sorted({**then, **now}):
        differs = then.get(key) != now.get(key)
        if differs and not f"{key}.".startswith(free):
            found.append(f"{key}: {then.get(key)} -> {now.get(key)}")
    return found


def given(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys whose values are not the defaults of their sections, and the names that tell sections apart.

    A version with more keys, or a file that spells defaults out, gives the same.

    Args:
        config: A configuration, or a section of one.
        path: The section's own key, with a dot at its end.

    Yields:
        A key as in `data.read`, and its value.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from given(value, f"{path}{field.name}.")
            continue

        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if field.name == "name" or value != default:
            yield f"{path}{field.name}", to_tree(value)


def free_keys(config: Any, path: str = "") -> Iterator[str]:
    """Yield the keys, as in `data.read`, that do not decide what is learned: each section's `free_to_change`.

    Args:
        config: A configuration, or a section of one.
        path: The section's own key, with a dot at its end.
    """
    for name in getattr(config, "free_to_change", ()):
        yield f"{path}{name}"

    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from free_keys(value, f"{path}{field.name}.")


def _leaves(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        elif isinstance(value, tuple):
            yield f"{path}{key}", list(value)  # as JSON has it
        else:
            yield f"{path}{key}", value
