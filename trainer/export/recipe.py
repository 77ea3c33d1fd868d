"""The recipe of an exported encoder, as anybody may read it: what decided the training, without anybody's places."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from surgstream.configs.changes import free_keys
from surgstream.configs.loading import to_tree
from surgstream.configs.parsing import write_yaml
from surgstream.configs.places import Place
from surgstream.trainer.config import TrainConfig

RECIPE = "recipe.yaml"

_HEAD = """\
# The recipe that the encoder in this folder was trained with. Folders and addresses are left out, and so is what does
# not decide what is learned; to train it again, give them: surgstream pretrain recipe.yaml run_dir=... data.corpus=...
"""

_OF_TASKS = ("task", "protocol", "labels", "clips", "select")
"""Keys that a pretraining does not have."""

_TOLD = ("micro_batch_size", "max_steps", "data.datasets", "data.order")
"""Keys that are free to change, and that a reader wants to know, or a recipe must have."""


def recipe_bytes(config: TrainConfig) -> bytes:
    """The content of `recipe.yaml`."""
    return (_HEAD + write_yaml(told(config))).encode()


def told(config: TrainConfig) -> dict[str, Any]:
    """The keys and values of a pretraining, without those that name a place, and those that are free to change."""
    hidden = {*free_keys(config), *_OF_TASKS} - {*_TOLD}
    return _without(config, hidden, "")


def _without(section: Any, hidden: set[str], path: str) -> dict[str, Any]:
    """The tree of a section, without hidden keys and places."""
    hints = typing.get_type_hints(type(section), include_extras=True)
    tree = {}
    for field in dataclasses.fields(section):
        key = f"{path}{field.name}"
        if key in hidden or any(_places(hints[field.name])):
            continue

        value = getattr(section, field.name)
        if not dataclasses.is_dataclass(value):
            tree[field.name] = to_tree(value)
        elif below := _without(value, hidden, f"{key}."):
            tree[field.name] = below
    return tree


def _places(kind: Any) -> Iterator[Place]:
    """The kinds of places in a declared type, but for those within sections."""
    if typing.get_origin(kind) is Annotated:
        yield from (rule for rule in kind.__metadata__ if isinstance(rule, Place))
    for part in typing.get_args(kind):
        yield from _places(part)
