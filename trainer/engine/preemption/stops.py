"""The mark that a run leaves when it was asked to stop."""

import logging
from pathlib import Path

from surgstream.trainer.distributed import RankInfo, all_gather
from surgstream.trainer.engine.preemption.agreement import StopConsensus
from surgstream.trainer.host.names import node_name
from surgstream.trainer.runs.files import REQUEUE, write_mark

log = logging.getLogger(__name__)


def mark_stopped(
    agreement: StopConsensus, rank_info: RankInfo, run_dir: Path, *, step: int
) -> None:
    """Leave a mark that tells the next start why this one stopped; collective.

    Args:
        agreement: What the ranks agreed on.
        rank_info: This rank's place.
        run_dir: The run's directory.
        step: The step that is saved; 0 where there is none.
    """
    signal_name, rank = agreement.cause
    hosts = all_gather(node_name())
    if rank_info.is_main:
        where = f"checkpoint of step {step}" if step else "no step was done"
        why = f"{signal_name} on rank {rank} ({hosts[rank]}); {where}"
        write_mark(run_dir, REQUEUE, why)
        log.info("stopped: %s", why)
