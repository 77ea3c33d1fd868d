"""The run directory: can every rank write to it, and is it the same one for all?"""

from pathlib import Path

from surgstream.configs.files import write_atomically
from surgstream.trainer.errors import PreflightError
from surgstream.trainer.preflight.rendezvous import Rendezvous


def check_shared(meeting: Rendezvous, checkpoints: Path, seconds: float) -> bool | None:
    """Write a file and rename it, as a checkpoint does, and look for that of rank 0.

    All look for rank 0's, so that of nodes with folders of their own just these complain. All names are new, so that no
    file system answers from what it remembers of the folder.

    Args:
        meeting: The ranks.
        checkpoints: The folder of checkpoints.
        seconds: The time to wait for the others.

    Returns:
        True; None where another rank failed, which says so itself.

    Raises:
        OSError: This rank cannot write there.
        PreflightError: The file that rank 0 wrote is not there.
    """
    rank = meeting.rank_info.rank
    folder = trial_folder(meeting, checkpoints)

    try:
        _write(folder, rank)
    except OSError:
        # The others learn it at once, and do not wait for this rank's file.
        meeting.all_ok("written", 0.0, ok=False)
        raise
    if not meeting.all_ok("written", seconds):
        return None

    if not (folder / "0").exists():
        raise PreflightError(
            f"{checkpoints}: what rank 0 wrote there is not seen here; "
            "run_dir must be on a file system that all nodes share"
        )
    return True


def trial_folder(meeting: Rendezvous, checkpoints: Path) -> Path:
    """The folder that `check_shared` writes to; to be removed when all ranks are done."""
    return checkpoints / f".preflight-{meeting.token}"


def _write(folder: Path, rank: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / str(rank), "preflight", durable=True)
