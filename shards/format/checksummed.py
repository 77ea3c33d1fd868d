"""JSON that carries a checksum of itself: the form of all files of a corpus other than shards."""

import hashlib
import json
from typing import Any

from surgstream.shards.errors import ManifestError


def canonical(tree: dict[str, Any]) -> bytes:
    """The one way to write `tree`: one line of ASCII JSON with sorted keys and no spaces, and its newline."""
    line = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return f"{line}\n".encode("ascii")


def digest(tree: dict[str, Any]) -> str:
    """SHA-256 of the canonical form of `tree`."""
    return hashlib.sha256(canonical(tree)).hexdigest()


def dump_checksummed(tree: dict[str, Any]) -> bytes:
    """One line of canonical JSON: `tree` and, under `checksum`, its digest."""
    return canonical({**tree, "checksum": digest(tree)})


def load_checksummed(data: bytes, *, where: str) -> dict[str, Any]:
    """Read what `dump_checksummed` wrote.

    Args:
        data: The line, with its newline.
        where: The name of the source in messages.

    Returns:
        The sealed dictionary.

    Raises:
        ManifestError: Any byte differs from what was sealed.
    """
    try:
        tree = json.loads(data)
        checksum = tree.pop("checksum", None) if isinstance(tree, dict) else None
        is_sound = checksum is not None and checksum == digest(tree)
        # Bytes are compared as well: JSON can write one dictionary in many ways.
        is_sound = is_sound and data == canonical({**tree, "checksum": checksum})
    except (ValueError, RecursionError) as error:
        raise ManifestError(
            f"{where}: expected JSON: {error}; it is damaged: delete it and pack again"
        ) from None
    if not is_sound:
        raise ManifestError(f"{where}: checksum mismatch; it is damaged: delete it and pack again")
    return dict(tree)
