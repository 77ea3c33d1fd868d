"""A run's record as anybody may read it: without addresses, folders, sites and command lines."""

from collections.abc import Mapping
from typing import Any

from surgstream.trainer.provenance.record import UNKNOWN, Record, Setup

_TOLD = ("code", "recipe", "seed", "corpus", "weights", "descends_from", "versions", "starts")
"""The parts of a setup that are told; a part that comes to be is not, until somebody has thought about it."""


def told_to_others(record: Record) -> Record:
    """The same with the parts that others may know.

    Weights are called by the last part of their names, and datasets by theirs; videos are named nowhere.
    """
    return {**record, "setups": [_told(setup) for setup in record["setups"]]}


def _told(setup: Setup) -> Setup:
    return {name: _without_places(setup.get(name, UNKNOWN)) for name in _TOLD}


def _without_places(tree: Any) -> Any:
    """A tree without addresses, in which no name is a path."""
    if isinstance(tree, list):
        return [_without_places(each) for each in tree]
    if not isinstance(tree, Mapping):
        return tree

    told = {key: _without_places(value) for key, value in tree.items() if key != "address"}
    if isinstance(told.get("name"), str):
        told["name"] = told["name"].rstrip("/").rpartition("/")[2]
    return told
