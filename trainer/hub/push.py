"""`surgstream push`: send an export to the Hub, or, by default, tell what would be sent."""

import argparse
import importlib
import sys

from surgstream.trainer.hub.folder import look_at


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream push`."""
    exported = look_at(words.folder)
    sys.stdout.write(exported.table())
    sys.stdout.write(f"licence of the weights: {exported.licence}\n")
    for warning in exported.warnings:
        sys.stdout.write(f"{warning}\n")

    readers = "everybody" if words.public else "its owner alone"
    if words.dry_run:
        sys.stdout.write(
            f"nothing was sent; --no-dry-run sends it to {words.repository}, for {readers} to read\n"
        )
        return 0

    sys.stdout.flush()
    # Late: telling what would be sent needs neither the library nor a network.
    hub = importlib.import_module("surgstream.trainer.hub.sending")
    address = hub.send(exported, words.repository, public=words.public)
    sys.stdout.write(f"sent: {address}\n")
    return 0
