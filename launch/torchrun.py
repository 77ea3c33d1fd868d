"""The line that starts torchrun, on one node or on each of many."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import NoReturn

from launch.errors import LaunchError


def torchrun_line(
    words: Sequence[str], *, num_nodes: int, ranks_per_node: int, endpoint: str | None, run_id: str = "surgstream"
) -> list[str]:
    """The command that runs `surgstream WORDS` on every rank.

    Args:
        words: Subcommand and arguments.
        num_nodes: Nodes; the line is started on each.
        ranks_per_node: Processes a node.
        endpoint: HOST:PORT where the nodes meet, HOST being one of them; None for one node alone.
        run_id: Tells runs apart that meet at one place.
    """
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={run_id}"] if endpoint else []
    return [
        "torchrun",
        *(meeting or ["--standalone"]),
        f"--nnodes={num_nodes}",
        f"--nproc-per-node={ranks_per_node}",
        "--max-restarts=0",
        *("-m", "launch"),
        *words,
    ]


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process by torchrun.

    It ignores the signals that its workers are to get, of which it would die.

    Raises:
        LaunchError: There is no torchrun.
    """
    if shutil.which(command[0]) is None:
        raise LaunchError("torchrun: not found; activate the environment that torch is installed in")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.execvp(command[0], list(command))


def num_gpus() -> int:
    """GPUs of this node, as the driver's own tool counts them; 0 where there is none."""
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
