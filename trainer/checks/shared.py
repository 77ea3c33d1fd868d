"""The run directory: can every rank write to it, and is it the same one for all?"""

import os
import shutil
from pathlib import Path

from trainer.checks.meeting import Meeting
from trainer.errors import PreflightError


def check_shared(meeting: Meeting, checkpoints: Path, seconds: float) -> bool | None:
    """Write a file and rename it, as a checkpoint does, and look for those of the other ranks.

    Rank 0 looks for every rank's file, the others for rank 0's. All names are new, so that no file system answers
    from what it remembers of the folder.

    Args:
        meeting: The ranks.
        checkpoints: Where checkpoints go.
        seconds: How long to wait for the others.

    Returns:
        True; None where another rank failed, which says so itself.

    Raises:
        OSError: This rank cannot write there.
        PreflightError: A file that another rank wrote is not there.
    """
    topology = meeting.topology
    if topology.is_main:
        meeting.tell("token", os.urandom(8).hex())
    folder = checkpoints / f".preflight-{meeting.hear('token', seconds)}"
    try:
        _write(folder, topology.rank)
    except OSError:
        meeting.agree("written", 0.0, ok=False)
        raise
    written = meeting.agree("written", seconds)
    wanted = range(topology.world_size) if topology.is_main else (0,)
    unseen = [rank for rank in wanted if written and not (folder / str(rank)).exists()]
    meeting.agree("looked", seconds)
    shutil.rmtree(folder, ignore_errors=True)  # all ranks at once: whoever comes late finds nothing
    if unseen:
        raise PreflightError(
            f"{checkpoints}: what rank {unseen[0]} wrote there is not seen here; run_dir must be on a file system "
            "that all nodes share"
        )
    return True if written else None


def _write(folder: Path, rank: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".partial-{rank}"
    with partial.open("wb") as file:
        file.write(b"preflight")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / str(rank))
