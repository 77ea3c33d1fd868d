"""What this node is called."""

import os
import socket


def node_name() -> str:
    """The name of this node: Slurm's name for it, by which nodes are left out, else the host's."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
