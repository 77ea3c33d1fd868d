"""`provenance.json`: what a run was made of, a setup at a time. Setups that are the same are one, counted.

    {"format": 1, "left_out": 0, "setups": [
     {"code": ..., "corpus": ..., "starts": {"count": 3, "first": {"time": ..., "step": 0}, "last": ...}}]}

What is not known is "unknown", never null and never absent.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular
from surgstream.trainer.engine.schedules import Progress

PROVENANCE = "provenance.json"
"""The file of a run directory, and of an export."""

KEY = "provenance"
"""The key of a checkpoint's state."""

UNKNOWN = "unknown"

FORMAT = 1

MOST_SETUPS = 32
"""A run that was set up in more ways keeps the first and the last ones."""

_MOST_BYTES = 1 << 24

Record = dict[str, Any]
Setup = dict[str, Any]


def empty() -> Record:
    """A record of nothing."""
    return {"format": FORMAT, "left_out": 0, "setups": []}


def with_start(record: Record, setup: Mapping[str, Any], moment: Mapping[str, Any]) -> Record:
    """The record after one more start.

    Args:
        record: The record before it.
        setup: What the run is made of now.
        moment: The time and step at which it starts.

    Returns:
        A new one, whose last setup is this one, and which is bounded whatever number of starts there are.
    """
    setup = known(setup)
    others = []
    starts: dict[str, Any] = {"count": 0, "first": dict(moment)}
    for earlier in record["setups"]:
        # A start that takes turns with another, on two kinds of nodes for instance, makes two setups and no more.
        if without_starts(earlier) == setup:
            starts = earlier["starts"]
        else:
            others.append(earlier)

    starts = {**starts, "count": starts["count"] + 1, "last": dict(moment)}
    setups = [*others, {**setup, "starts": starts}]
    surplus = max(0, len(setups) - MOST_SETUPS)
    if surplus:
        setups = [setups[0], *setups[1 + surplus :]]
    return {"format": FORMAT, "left_out": record["left_out"] + surplus, "setups": setups}


def without_starts(setup: Setup) -> Setup:
    """A setup without its count and times."""
    return {name: value for name, value in setup.items() if name != "starts"}


def known(tree: Any) -> Any:
    """A tree in which what is None is `unknown`."""
    if tree is None:
        return UNKNOWN
    if isinstance(tree, Mapping):
        return {name: known(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [known(value) for value in tree]
    return tree


def to_bytes(record: Record) -> bytes:
    """The content of the file."""
    return (json.dumps(record, indent=1) + "\n").encode()


def read_record(path: Path) -> Record | None:
    """Read a file; None where there is none, or it is something else."""
    try:
        with open_regular(path) as file:
            tree = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return tree if is_record(tree) else None


def record_in(progress: Progress) -> Record:
    """The record in a checkpoint's state; an empty one where there is none."""
    record: Record = progress.state.get(KEY, {})
    return record if is_record(record) else empty()


def is_record(tree: Any) -> bool:
    """Whether a tree has what is read of it: a list of setups, each with the number of its starts."""
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        return False
    if type(tree.get("left_out")) is not int or not isinstance(tree.get("setups"), list):
        return False
    return all(map(_is_setup, tree["setups"]))


def _is_setup(setup: Any) -> bool:
    if not isinstance(setup, dict) or not isinstance(setup.get("starts"), dict):
        return False
    starts = setup["starts"]
    has_moments = isinstance(starts.get("first"), dict) and isinstance(starts.get("last"), dict)
    return has_moments and type(starts.get("count")) is int
