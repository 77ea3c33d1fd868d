"""The end of a run that has a mirror: its last checkpoint is waited for."""

import logging
from functools import partial

from surgstream.trainer.distributed import barrier, from_main
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.engine.preemption.stops import mark_stopped
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.runs.files import REQUEUE

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0


def wait_until_mirrored(mirror: Mirror | None, trainer: Trainer) -> str | None:
    """Wait for the last checkpoint to be in the mirror; collective, and all ranks show that they move.

    A run that was asked to stop waits for a minute at most: its mark is there already, and its next start uploads what
    is missing.

    Args:
        mirror: The run's mirror, on rank 0.
        trainer: The run, which has saved.

    Returns:
        What to tell where a run is at its end and the store has failed for too long; the same on all ranks.
    """
    guards = trainer.guards
    stopping = guards.agreement.stopping()
    if trainer.rank_info.is_main and mirror and mirror.missing():
        log.info("waiting until the last checkpoint is at %s", mirror.place.storage.uri)

    while not from_main(partial(_is_over, mirror, stopping)):
        guards.watchdog.beat()
        stopping = guards.agreement.stopping()
    # No rank closes its agreement before all have made their last call.
    barrier()

    missing = from_main(lambda: mirror.missing() if mirror else None)
    if missing is None:
        return None
    if not stopping:
        return f"the run is done and saved in {trainer.run_dir}, but {missing}; the same command tries again"

    if trainer.rank_info.is_main:
        log.warning("%s; the next start of this run uploads it", missing)
    _mark(trainer)
    return None


def _is_over(mirror: Mirror | None, stopping: bool) -> bool:
    return mirror is None or mirror.wait(_POLL_SECONDS, hurry=stopping)


def _mark(trainer: Trainer) -> None:
    """Have a run that was done when it was asked to stop started once more."""
    is_marked = from_main(lambda: (trainer.run_dir / REQUEUE).exists())
    if not is_marked:
        mark_stopped(
            trainer.guards.agreement, trainer.rank_info, trainer.run_dir, step=trainer.step
        )
