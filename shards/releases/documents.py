"""JSON files of a release, whose mistakes are told with file and place."""

import json
from pathlib import Path
from typing import Any, TypeVar

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.tables import text_of

T = TypeVar("T")


def json_of(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is none.
    """
    try:
        tree = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise ReleaseError(f"{path}: line {error.lineno}: expected JSON: {error.msg}") from None
    except (
        ValueError,
        RecursionError,
    ):  # a number of thousands of digits, lists in lists without end
        raise ReleaseError(f"{path}: expected JSON of labels, got what no labels are") from None

    if not isinstance(tree, dict):
        raise ReleaseError(f"{path}: expected a JSON object, got a {type(tree).__name__}")
    return tree


def member(tree: Any, key: str, kind: type[T], where: str) -> T:
    """What a JSON object has under a key.

    Args:
        tree: The object.
        key: The key.
        kind: What is expected there.
        where: The object's place, for messages.

    Raises:
        ReleaseError: It is no object, has no such key, or something else under it.
    """
    value = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ReleaseError(f"{where}: {key}: expected {kind.__name__}, got {value!r:.80}")
    return value
