"""Files that must not lie in a corpus, since they are for the people who pack it and a corpus may go to others."""

import argparse
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.places import to_folder
from surgstream.shards.storage.addresses import is_address, local_folder


def report_folder(text: str) -> Path:
    """The folder of `--report`, on this machine, since a browser opens the page.

    Raises:
        argparse.ArgumentTypeError: It is an address.
    """
    if is_address(text):
        raise argparse.ArgumentTypeError(
            f"expected a folder of this machine, got {text!r}; copy the report afterwards"
        )
    return to_folder(text)


def check_outside(what: str, path: Path | str, uri: str) -> None:
    """Refuse a file or folder that would lie in a corpus.

    Args:
        what: Its name in messages.
        path: Its path.
        uri: The corpus.

    Raises:
        ConfigError: It would lie in the corpus, or is no path of this machine.
    """
    if is_address(str(path)):
        raise ConfigError(f"{what}: expected a path of this machine, got {path}")
    folder = local_folder(uri)
    if folder is not None and Path(path).resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{what}: expected a path outside of {uri}, got {path}: "
            "it shows what the corpus does not tell"
        )
