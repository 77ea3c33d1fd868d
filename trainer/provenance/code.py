"""The code that a run runs: its version, the commit of a checkout, and a digest of its files."""

import hashlib
import os
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from surgstream import configs

_GIT_SECONDS = 20
"""The longest that git may take, on a file system that hangs for instance."""


@cache
def describe_code() -> dict[str, Any]:
    """Version, commit, whether the checkout has other files than the commit, and the digest of the package's files.

    The digest is of all code and recipes that can be imported, and tells changed checkouts apart.
    """
    rooms = _rooms()
    checkout = rooms[0].parent
    is_checkout = (checkout / ".git").exists()
    return {
        "version": _version(),
        "commit": _git(checkout, "rev-parse", "HEAD") if is_checkout else None,
        "changed": _is_changed(checkout) if is_checkout else None,
        "sha256": digest_of_rooms(rooms),
    }


def digest_of_rooms(rooms: list[Path]) -> str:
    """A digest of the names and contents of all files of code and YAML in folders."""
    digest = hashlib.sha256()
    for room in rooms:
        files = [path for path in room.rglob("*") if path.suffix in (".py", ".yaml")]
        for path in sorted(files):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{room.name}/{path.relative_to(room).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _rooms() -> list[Path]:
    """The folders of the package's rooms, which are links in a checkout."""
    # The folder of one room leads to all others, in a checkout and where it is installed.
    place = Path(configs.__path__[0]).resolve().parent
    return [place / name for name in ("configs", "launch", "shards", "trainer")]


def _version() -> str | None:
    try:
        return version("surgstream")
    except PackageNotFoundError:
        return None


def _is_changed(checkout: Path) -> bool | None:
    listed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return None if listed is None else bool(listed)


def _git(checkout: Path, *words: str) -> str | None:
    """What git says; None where it is missing, refuses, or takes too long."""
    # A hook or another checkout may have set variables that mean their own repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), "--no-optional-locks", *words],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
