"""Places: the folders, files and addresses that a user writes into YAML files and behind flags.

Every one passes `expanded`: `~` is the home folder, `$NAME` and `${NAME}` are variables of the environment, and an
address is whole or refused, so that no folder is ever called `~`, `$USER` or `s3:`. A field's type says so, as in
`run_dir: Folder`; a flag's is `type=to_folder` or `type=to_place`.

A place that only a node knows, such as `cache_dir: /local/$SLURM_JOB_ID`, is a `NodeFolder`: it is checked where it is
read, stays as it is written, and is expanded by the process that opens it.
"""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=/)|(?i:(s3|file|https?)):")
_WHOLE = re.compile(r"s3://[^/]|file:///.")


@dataclass(frozen=True)
class Place:
    """The kinds of places that a field or a flag may name.

    Attributes:
        remote: Whether it may be an `s3://` address, not only a folder or file.
        later: Whether it is left as it is written, for a node to expand.
    """

    remote: bool
    later: bool = False

    def read(self, text: str) -> str:
        """Check, and expand unless that is for later.

        Raises:
            ValueError: It is half an address or of another kind, or a variable is not set; says what is expected.
        """
        if self.later:
            return checked(text, self.remote)
        return expanded(text, remote=self.remote)


Anywhere = Annotated[str, Place(remote=True)]
"""A folder, a file or an `s3://` address."""

Folder = Annotated[str, Place(remote=False)]
"""A folder or a file."""

NodeFolder = Annotated[str, Place(remote=False, later=True)]
"""A folder of the node that a process runs on."""


def expanded(text: str, *, remote: bool = True) -> str:
    """Replace the home folder and the variables of a place by their values.

    Args:
        text: As a user writes it.
        remote: Whether it may be an address.

    Raises:
        ValueError: See `Place.read`.
    """
    text = _VARIABLE.sub(_value, text)
    if text.startswith("~"):
        text = os.path.expanduser(text)
        # `expanduser` leaves the name of a user who does not exist
        if text.startswith("~"):
            user = text.partition("/")[0]
            raise ValueError(f"expected a user's home folder, got {user!r}; a name begins with ./")

    return checked(text, remote)


def checked(text: str, remote: bool) -> str:
    """Return a place that is a path or a whole address.

    Raises:
        ValueError: It is neither.
    """
    expected = "a path; addresses are not supported here"
    if remote:
        expected = "a path, s3://BUCKET/PREFIX or file:///PATH"
    if not text:
        raise ValueError(f"expected {expected}, got nothing; is a variable of the shell not set?")

    scheme = _SCHEME.match(text)
    if scheme and not (remote and _WHOLE.match(text)):
        # The rest of it may hold a password
        shown = f"{scheme[0]}..."
        raise ValueError(
            f"expected {expected}, got {shown!r}; a path with a colon begins with ./ or /"
        )
    return text


def to_place(text: str) -> str:
    """The `type` of a flag that takes a folder, a file or an address."""
    return _told(lambda: expanded(text))


def to_folder(text: str) -> Path:
    """The `type` of a flag that takes a folder or a file."""
    return Path(_told(lambda: expanded(text, remote=False)))


def _told(read: Callable[[], str]) -> str:
    try:
        return read()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _value(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    if not os.environ.get(name):
        raise ValueError(f"expected a variable that is set, got ${name}, which is not")
    return os.environ[name]
