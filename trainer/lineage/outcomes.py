"""Outcomes of comparisons of pictures, kept in small files so that no corpus is read for the same question twice."""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text, write_atomically
from surgstream.configs.loading import build, to_tree
from surgstream.shards.leaks.findings import Way

log = logging.getLogger(__name__)

_VERSION = 1
"""Changes whenever the same videos could give another outcome."""


@dataclass(frozen=True, kw_only=True)
class SeenStretch:
    """A video that was asked about, how it was found, and both stretches as words."""

    video: str
    way: Way
    seen: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a comparison of the videos of a task with those of a corpus found.

    Attributes:
        key: What was compared; see `key_of`.
        found: Videos that both show.
        notes: What could not be compared, a sentence each.
    """

    key: str
    found: tuple[SeenStretch, ...] = ()
    notes: tuple[str, ...] = ()


def key_of(
    asked: tuple[str, Iterable[tuple[str, str]]], trained: tuple[str, Iterable[tuple[str, str]]]
) -> str:
    """SHA-256 of what is compared, in hexadecimal.

    Args:
        asked: SHA-256 of the manifest, and the videos that are asked about by dataset and id.
        trained: The same of what they are compared with.
    """
    tree = [_VERSION, *((manifest, sorted(names)) for manifest, names in (asked, trained))]
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()


def kept_outcome(folder: Path | None, key: str) -> Outcome | None:
    """The outcome of an earlier comparison; None where there is none, or its file is damaged."""
    if folder is None:
        return None

    path = _file(folder, key)
    try:
        outcome = build(Outcome, json.loads(read_text(path)), where=str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, RecursionError, ConfigError) as error:
        log.warning("%s: %s; the videos are compared again", path, error)
        return None
    return outcome if outcome.key == key else None


def keep_outcome(folder: Path | None, outcome: Outcome) -> None:
    """Keep an outcome, whole or not at all; a folder that cannot be written to is told, and no error."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(
            _file(folder, outcome.key), json.dumps(to_tree(outcome), indent=1) + "\n", durable=True
        )
    except OSError as error:
        log.warning("%s: the outcome of a comparison is not kept: %s", folder, error)


def _file(folder: Path, key: str) -> Path:
    return folder / f"leaks_{key[:16]}.json"
