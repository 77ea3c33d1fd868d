"""What this node is called, and ranks in words."""

import os
import socket
from collections.abc import Collection, Iterable


def node_name() -> str:
    """The name of this node: Slurm's name for it, by which nodes are left out, else the host's."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def spans(numbers: Iterable[int]) -> str:
    """Write numbers as `0-7, 12`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in found)


def in_words(ranks: Collection[int]) -> str:
    """Write ranks as `ranks 0-7, 12`."""
    return f"{'ranks' if len(ranks) > 1 else 'rank'} {spans(ranks)}"
