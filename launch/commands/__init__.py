"""The arguments of every command, a module each, which imports nothing that a login node may lack.

Such a module has `parse(argv)`, which explains the command at `--help`. Its words name the module that does the work,
in `work`; that is imported once they are parsed, and its `run(words)` called.
"""

import argparse
import importlib
from collections.abc import Sequence

ROOMS = {
    "corpora": ("synth", "pack", "verify", "inspect", "leaks", "labels", "stage"),
    "runs": (
        "demo",
        "order",
        "describe",
        "preflight",
        "pretrain",
        "finetune",
        "probe",
        "export",
        "push",
        "launch",
        "status",
    ),
    "measures": ("bench", "loader", "features", "evaluate", "suite"),
}
_ROOM_OF = {name: room for room, names in ROOMS.items() for name in names}


def parse(name: str, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command's words.

    Args:
        name: The command.
        argv: The words after it.

    Raises:
        SystemExit: It was asked for help, or a word is wrong.
    """
    module = importlib.import_module(f"{__name__}.{_ROOM_OF[name]}.{name}")
    words: argparse.Namespace = module.parse(argv)
    return words


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
    words = parse(name, argv)
    return int(importlib.import_module(words.work).run(words))
