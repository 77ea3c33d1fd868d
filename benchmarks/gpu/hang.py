"""The traces of a rank whose GPU is stuck: its exit status, its stacks, and NCCL's record.

`python -m surgstream.benchmarks.gpu.hang` runs itself as a child that gets stuck in a run directory.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from surgstream.benchmarks.gpu.findings import DEVICE, report
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.guards.watchdog import Watchdog
from surgstream.trainer.engine.profile import record_flights
from surgstream.trainer.joining import join
from surgstream.trainer.runs.files import FLIGHT_RECORDER

_TIMEOUT_SECONDS = 12
_CHILD_SECONDS = 50
_STUCK_CYCLES = 10**11
"""Clock cycles of the GPU, a minute or so."""

STACKS = "stacks.txt"


def get_stuck(run_dir: Path) -> None:
    """Join a run of one rank, reduce once, then wait for a GPU that does not answer."""
    watchdog = Watchdog(_TIMEOUT_SECONDS)
    watchdog.write_to(run_dir / STACKS)
    rank_info = RankInfo()
    record_flights(run_dir, rank_info)
    join(rank_info, _TIMEOUT_SECONDS)

    values = torch.ones(4, device=DEVICE)
    dist.all_reduce(values)
    torch.cuda.synchronize()
    watchdog.beat()

    torch.cuda._sleep(_STUCK_CYCLES)  # type: ignore[no-untyped-call]
    dist.all_reduce(values)
    torch.cuda.synchronize()


def main() -> None:
    """Report how the child ended, and what it left."""
    if len(sys.argv) > 1:
        get_stuck(Path(sys.argv[1]))
        return

    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, folder],
            env={**os.environ, "TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC": "2000"},
            timeout=_CHILD_SECONDS,
            capture_output=True,
            text=True,
        )
        stacks = run_dir / STACKS
        records = (run_dir / FLIGHT_RECORDER).glob("*")
        report(
            exit_status=done.returncode,
            has_stacks=stacks.exists() and stacks.stat().st_size > 0,
            nccl_records=[record.name for record in records],
            said=done.stderr[-300:],
        )


if __name__ == "__main__":
    main()
