"""An exported folder as it would be sent: its files, and what forbids to send it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.columns import columns
from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text
from surgstream.configs.parsing import parse_yaml
from surgstream.trainer.errors import ModelError
from surgstream.trainer.provenance.record import PROVENANCE

CARD = "README.md"
"""The file that the Hub shows as a model's card."""

_CONFIG = "config.json"
_WEIGHTS = (".safetensors", ".pth", ".pt")
_TEXTS = (".json", ".md", ".py", ".txt", ".yaml")
_NAMES = ("LICENCE", "LICENSE", "NOTICE")
_UNKNOWN = "unknown"
_MARK = "contaminated"
_FENCE = "---\n"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file to send.

    Attributes:
        path: Where it lies.
        num_bytes: Its length.
    """

    path: Path
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class ExportedFolder:
    """What an export would send.

    Attributes:
        files: Its files, sorted by name.
        licence: The licence of the weights, as its card states it.
        warnings: What else whoever sends it should know.
    """

    files: tuple[Sent, ...]
    licence: str
    warnings: tuple[str, ...]

    def table(self) -> str:
        """A line for each file, and one for their sum."""
        rows = [("file", "bytes")]
        rows += [(each.path.name, f"{each.num_bytes:,}") for each in self.files]
        rows.append(("total", f"{sum(each.num_bytes for each in self.files):,}"))
        return "\n".join(columns(rows)) + "\n"


def look_at(folder: Path) -> ExportedFolder:
    """Look at a folder before it is sent; nothing in it is read but the card.

    Args:
        folder: What `surgstream export` wrote.

    Raises:
        ModelError: It is no export, has files that no export has, or its card states no licence.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: expected the folder of an export, got none")

    paths = sorted(folder.iterdir())
    foreign = [path.name for path in paths if not _may_be_sent(path)]
    if foreign:
        raise ModelError(
            f"{folder}: expected the files of an export, got {', '.join(foreign[:5])} (of {len(foreign)}) as well; "
            "pictures, predictions and logs tell of patients: move them out of the folder"
        )

    names = {path.name for path in paths}
    has_weights = any(path.suffix in _WEIGHTS for path in paths)
    if not has_weights or not {CARD, _CONFIG} <= names:
        raise ModelError(
            f"{folder}: expected weights, {CARD} and {_CONFIG}, as surgstream export writes them, got "
            f"{', '.join(sorted(names)) or 'nothing'}"
        )
    text = _card(folder / CARD)
    return ExportedFolder(
        files=tuple(Sent(path=path, num_bytes=path.stat().st_size) for path in paths),
        licence=_licence(text, folder / CARD),
        warnings=tuple(_warnings(text, names)),
    )


def _may_be_sent(path: Path) -> bool:
    """Whether an export may have such a file, as far as its name tells: a text, or weights."""
    if path.is_symlink() or not path.is_file() or path.name.startswith("."):
        return False
    return path.suffix in (*_WEIGHTS, *_TEXTS) or path.name in _NAMES


def _card(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: expected a model card, got: {reason}") from None


def _licence(text: str, where: Path) -> str:
    front = _front_matter(text, where)
    licence = front.get("license", _UNKNOWN)
    if licence == "other":
        licence = front.get("license_name", _UNKNOWN)
    if not isinstance(licence, str) or licence in ("", _UNKNOWN):
        raise ModelError(
            f"{where}: expected a card that states the licence of the weights, got none; export again with "
            "--licence SPDX, or write `license: SPDX` into its front matter"
        )
    return licence


def _front_matter(text: str, where: Path) -> dict[str, Any]:
    """The YAML that a card begins with; empty where there is none."""
    if not text.startswith(_FENCE):
        return {}
    front, _, _ = text.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    try:
        # A line before it, so that an error names the line of the card.
        tree = parse_yaml(f"\n{front}", str(where))
    except ConfigError as error:
        raise ModelError(f"{error}; mend the card's first lines") from None
    return tree if isinstance(tree, dict) else {}


def _warnings(text: str, names: set[str]) -> Iterator[str]:
    if _MARK in text:
        yield (
            f"{CARD} has results that are {_MARK}: the encoder has seen videos that judge it, and the card says so"
        )
    if PROVENANCE not in names:
        yield f"{PROVENANCE} is missing: nobody will know what these weights were made of; export again"
