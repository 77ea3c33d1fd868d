"""`surgstream push`: its arguments."""

import argparse
import re
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Send an export, with its card, to the Hub of Hugging Face.

  surgstream push exported OWNER/NAME                  # lists what would be sent
  surgstream push exported OWNER/NAME --no-dry-run     # sends it

By default nothing is sent and no network is needed: read the card, README.md, and the list first. What
is sent is one commit: all files, or none. A new repository is private unless --public is given, and
one that everybody may read is refused without it.

The token is huggingface_hub's own: HF_TOKEN, or that of `hf auth login`; HF_ENDPOINT names another Hub.

Refused are folders with other files than texts and weights, since pictures, predictions and logs tell
of patients, and cards that state no licence (`surgstream export --licence`). docs/privacy.md says what
a card and its files never hold. Needs pip install 'surgstream[hub]'.
"""

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream push`."""
    parser = command("push", "surgstream.trainer.hub.push", DESCRIPTION)
    parser.add_argument(
        "folder", metavar="EXPORT", type=to_folder, help="what `surgstream export` wrote"
    )
    parser.add_argument(
        "repository", metavar="OWNER/NAME", type=_repository, help="the model's repository"
    )
    parser.add_argument(
        "--dry-run",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="only list what would be sent (the default)",
    )
    parser.add_argument("--public", action="store_true", help="for everybody to read")
    return parser.parse_intermixed_args(argv)


def _repository(word: str) -> str:
    if not _REPOSITORY.fullmatch(word):
        raise argparse.ArgumentTypeError(f"expected OWNER/NAME, got {word[:80]!r}")
    return word
