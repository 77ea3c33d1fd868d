"""The run directory: its ownership, and the records of a run's recipe and environment."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist

from surgstream.configs.loading import to_yaml
from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage.owner import HeartbeatPace, owning
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.guards.watchdog import Watchdog
from surgstream.trainer.engine.metrics import cut_log
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.host.names import node_name
from surgstream.trainer.runs.files import (
    AUDIT,
    CHECKPOINTS,
    CONFIG,
    METRICS,
    QUARANTINE,
    REFUSALS,
    STACKS,
    marked_when_failing,
    remove_marks,
    stacks_file,
)
from surgstream.trainer.tracking.config import TrackingConfig


class RunConfig(Protocol):
    """The configuration of a run."""

    @property
    def run_dir(self) -> str:
        """The run's directory."""

    @property
    def tracking(self) -> TrackingConfig:
        """The run's tracker."""


OWNING_SECONDS = HeartbeatPace().stale_seconds + 2 * HeartbeatPace().beat_seconds
"""The longest that rank 0 takes to find out whether another run in the directory is alive."""


@contextmanager
def owned_run(
    run_dir: Path, rank_info: RankInfo, watchdog: Watchdog
) -> Iterator[Callable[[], None]]:
    """Own the run directory for these ranks alone; rank 0 touches nothing in it before it owns it.

    The other ranks know that the directory is theirs once they have met rank 0.

    Args:
        run_dir: The run's directory.
        rank_info: This rank's place.
        watchdog: Writes its stacks to the directory from then on.

    Yields:
        A function, for rank 0, that raises OwnedError if another run has taken the directory over.

    Raises:
        OwnedError: Another run trains there.
    """
    if not rank_info.is_main:
        with marked_when_failing(run_dir, ours=dist.is_initialized):
            yield lambda: None
        return

    with ExitStack() as stack:
        try:
            owner = stack.enter_context(owning(open_storage(str(run_dir)), "training"))
        except OwnedError as error:
            _tell_job(str(error))
            raise

        watchdog.write_to(stacks_file(run_dir, rank_info.rank))
        remove_marks(run_dir)

        try:
            with marked_when_failing(run_dir):
                yield owner.check
        finally:
            with suppress(StorageError):
                # If another run has taken the directory over, the stacks are that run's.
                owner.check()
                _remove_empty(run_dir / STACKS)


def _tell_job(sentence: str) -> None:
    """Tell the script of a Slurm job, if it asks for it, that another run owns its run directory."""
    if path := os.environ.get(REFUSALS):
        with suppress(OSError):  # the user sees the error itself
            Path(path).write_text(sentence + "\n", encoding="utf-8")


def _remove_empty(stacks: Path) -> None:
    """Remove the files that no rank has written stacks to."""
    for path in stacks.glob("*.txt"):
        with suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()


def prepare_run_dir(config: RunConfig, rank_info: RankInfo, progress: Progress) -> None:
    """Save the resolved configuration and the environment, and cut the logs back to the checkpoint.

    Rank 0 calls it before any rank trains.

    Raises:
        ConfigError: The tracker is not installed.
    """
    config.tracking.check_installed()
    run_dir = Path(config.run_dir)
    (run_dir / AUDIT).mkdir(parents=True, exist_ok=True)
    (run_dir / CHECKPOINTS).mkdir(exist_ok=True)
    (run_dir / CONFIG).write_text(to_yaml(config), encoding="utf-8")
    found = json.dumps(environment(rank_info), indent=1)
    (run_dir / "environment.json").write_text(found, encoding="utf-8")

    for log in (run_dir / AUDIT).glob("*.jsonl"):
        cut_log(log, "g", keep_below=progress.clips_seen)
    cut_log(run_dir / QUARANTINE, "g", keep_below=progress.clips_seen)
    cut_log(run_dir / METRICS, "step", keep_below=progress.step + 1)


def environment(rank_info: RankInfo) -> dict[str, object]:
    """Record hardware and versions, for later readers of the run."""
    packages = sorted((found.name, found.version) for found in distributions())

    return {
        "host": node_name(),
        "world_size": rank_info.world_size,
        "device": rank_info.device_name,
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "packages": dict(packages),
    }
