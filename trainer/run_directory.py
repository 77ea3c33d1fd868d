"""The run directory: whose it is, what a run was and where it ran, beside what it wrote."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path

import torch
import torch.distributed as dist

from surgstream.configs.loading import to_yaml
from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage.owner import Pace, owning
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import Topology
from surgstream.trainer.engine.metrics import cut_log
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.watchdog import Watchdog
from surgstream.trainer.runs.files import (
    AUDIT,
    CHECKPOINTS,
    METRICS,
    QUARANTINE,
    REFUSALS,
    STACKS,
    marked_when_failing,
    remove_marks,
    stacks_file,
)

OWNING_SECONDS = Pace().stale_seconds + 2 * Pace().beat_seconds
"""How long rank 0 may look whether somebody else's run is alive."""


@contextmanager
def owned_run(
    run_dir: Path, topology: Topology, watchdog: Watchdog
) -> Iterator[Callable[[], None]]:
    """Have the run directory for these ranks alone: rank 0 owns it, and before that nothing in it is touched.

    Other ranks know that it is theirs when they have met rank 0.

    Args:
        run_dir: The run's directory.
        topology: This rank's place.
        watchdog: What may write its stacks there then.

    Yields:
        What raises OwnedError if somebody else has taken the run over; for rank 0.

    Raises:
        OwnedError: Somebody else trains there.
    """
    if not topology.is_main:
        with marked_when_failing(run_dir, ours=dist.is_initialized):
            yield lambda: None
        return

    with ExitStack() as stack:
        try:
            owner = stack.enter_context(owning(open_storage(str(run_dir)), "training"))
        except OwnedError as error:
            _tell_job(str(error))
            raise

        watchdog.write_to(stacks_file(run_dir, topology.rank))
        remove_marks(run_dir)

        try:
            with marked_when_failing(run_dir):
                yield owner.check
        finally:
            with suppress(StorageError):
                # Where somebody else has taken the run over, the stacks are theirs.
                owner.check()
                _remove_empty(run_dir / STACKS)


def _tell_job(sentence: str) -> None:
    """Tell the script of a Slurm job, where it asks for it, that somebody else is at work in its run directory."""
    if path := os.environ.get(REFUSALS):
        with suppress(OSError):  # the error itself is what the user is to read
            Path(path).write_text(sentence + "\n", encoding="utf-8")


def _remove_empty(stacks: Path) -> None:
    """Remove what no rank has written stacks to."""
    for path in stacks.glob("*.txt"):
        with suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()


def prepare_run_dir(config: TrainConfig, topology: Topology, progress: Progress) -> None:
    """Save the resolved configuration and the environment, and forget what was logged after the checkpoint.

    Rank 0 calls it before any rank trains.
    """
    run_dir = Path(config.run_dir)
    (run_dir / AUDIT).mkdir(parents=True, exist_ok=True)
    (run_dir / CHECKPOINTS).mkdir(exist_ok=True)
    (run_dir / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    (run_dir / "environment.json").write_text(
        json.dumps(environment(topology), indent=1), encoding="utf-8"
    )
    for log in (run_dir / AUDIT).glob("*.jsonl"):
        cut_log(log, "g", keep_below=progress.g)
    cut_log(run_dir / QUARANTINE, "g", keep_below=progress.g)
    cut_log(run_dir / METRICS, "step", keep_below=progress.step + 1)


def environment(topology: Topology) -> dict[str, object]:
    """Hardware and versions, for whoever reads the run later."""
    on_gpu = topology.device.type == "cuda"
    return {
        "host": platform.node(),
        "world_size": topology.world_size,
        "device": torch.cuda.get_device_name()
        if on_gpu
        else platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "packages": dict(sorted((found.name, found.version) for found in distributions())),
    }
