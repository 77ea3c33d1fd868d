"""Configurations that come with the package, by name: `surgvista_vitb` is `configs/pretrain/surgvista_vitb.yaml`."""

import os
from pathlib import Path
from typing import Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.places import to_place
from surgstream.configs.suggestions import did_you_mean

Kind = Literal[
    "evaluate/protocols", "evaluate/suites", "evaluate/tasks", "launch", "pack", "pretrain"
]
"""Protocols of evaluation, tasks, sites, corpora and recipes, by the folder that they lie in."""

_CALLED = {
    "evaluate/protocols": "a protocol's file",
    "evaluate/suites": "a suite's file",
    "evaluate/tasks": "a task's file",
    "launch": "a site's file",
    "pack": "a corpus file, a folder of videos",
    "pretrain": "a recipe's file",
}


class Preset:
    """The `type` of an argument that takes a YAML file, or the name of one in a folder of `configs`, for argparse.

    Args:
        kind: The folder.
        others: Further ones, whose files do as well.
    """

    def __init__(self, kind: Kind, *others: Kind) -> None:
        self.kinds = (kind, *others)

    def __call__(self, word: str) -> str:
        """The file that a word means, as a path."""
        return str(find_preset(self.kinds, word) or to_place(word))


def presets(kind: Kind) -> dict[str, Path]:
    """All files of a kind, by name."""
    folder = Path(__file__).resolve().parent / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_preset(kinds: Kind | tuple[Kind, ...], word: str) -> Path | None:
    """The file that a word names, or that is the only one whose name begins with it: `h100` is `h100_cloud_tcp`.

    Args:
        kinds: The kind of the file, or several of which it may be, the likeliest first.
        word: The word that a user wrote.

    Returns:
        None where it is a path: where it has a slash or a suffix, or a file of this name is there.

    Raises:
        ConfigError: It is no path, and there is none of this name.
    """
    if os.path.isfile(word) or "/" in word or Path(word).suffix:
        return None

    kinds = (kinds,) if isinstance(kinds, str) else kinds
    known = {name: path for kind in kinds for name, path in presets(kind).items()}
    if word in known:
        return known[word]
    begun = [name for name in known if name.startswith(f"{word}_")]
    if len(begun) == 1:
        return known[begun[0]]

    got = f"the beginning of {' and '.join(begun)}" if begun else "neither"
    raise ConfigError(
        f"{word}: expected {_CALLED[kinds[0]]} or one of the presets {', '.join(known)}; got {got}"
        f"{did_you_mean(word, known)}"
    )
