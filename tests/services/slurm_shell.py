"""`python -m tests.services.slurm_shell COMMAND ...`: run a command (bash, say) against a fresh Slurm of two nodes."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.services.slurm import Cluster


def main() -> int:
    """Start everything, run the command, and end everything."""
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch) / "cluster")
        try:
            return subprocess.run(sys.argv[1:], env=cluster.environment).returncode
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
