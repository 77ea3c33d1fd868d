"""The arguments of every command, a module each, which imports nothing that a login node may lack.

Such a module has `parse(argv)`, which explains the command at `--help`. Its words name the module that does the work,
in `work`; that is imported once they are parsed, and its `run(words)` called.
"""

import importlib
from collections.abc import Sequence


def run(name: str, argv: Sequence[str]) -> int:
    """Parse a command's words, and do its work.

    Args:
        name: The command.
        argv: The words after it.

    Returns:
        The exit status.

    Raises:
        SystemExit: It was asked for help, or a word is wrong.
        ModuleNotFoundError: What the work needs is not installed.
        SurgstreamError: The work could not be done.
    """
    words = importlib.import_module(f"{__name__}.{name}").parse(argv)
    return int(importlib.import_module(words.work).run(words))
