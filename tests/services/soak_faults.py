"""Faults of a training job on the test cluster; after each of them the run goes on by a new start."""

import os
import random
import time
from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSEGV, SIGSTOP

import psutil

from tests.end_to_end.runs import newest
from tests.services.jobs import Job
from tests.services.slurm import ENDED

NUM_RANKS = 2
MINUTES = 600
"""The time limit of jobs, out of reach unless a fault brings it near."""

_POLL_SECONDS = 0.5
_CONTROLLER_AWAY_SECONDS = 20

Fault = Callable[[Job, random.Random], None]


def wait_for(moment: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    """Poll gently until a moment has come.

    Raises:
        TimeoutError: It does not come.
    """
    deadline = time.monotonic() + seconds
    while not moment():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: did not come within {seconds:g} s")
        time.sleep(_POLL_SECONDS)


def _kill_rank(job: Job, draw: random.Random) -> None:
    job.signal_rank(draw.randrange(NUM_RANKS), SIGKILL)


def _crash_rank(job: Job, draw: random.Random) -> None:
    job.signal_rank(draw.randrange(NUM_RANKS), SIGSEGV)


def _freeze_rank(job: Job, draw: random.Random) -> None:
    job.signal_rank(draw.randrange(NUM_RANKS), SIGSTOP)


def _fill_disk(job: Job, draw: random.Random) -> None:
    """A rank can write no more to any file, and cannot save."""
    job.rank(draw.randrange(NUM_RANKS)).rlimit(psutil.RLIMIT_FSIZE, (0, 0))


def _damage_checkpoint(job: Job, draw: random.Random) -> None:
    """The newest checkpoint loses half of its largest file, before a rank is killed."""
    checkpoint = newest(job.run_dir)
    assert checkpoint
    largest = max(checkpoint.iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    _kill_rank(job, draw)


def _lose_node(job: Job, draw: random.Random) -> None:
    """A machine dies with all that runs on it, and is there again once Slurm has noticed."""
    node = draw.choice(_nodes(job))
    before = job.num_restarts
    job.cluster.kill_node(node)
    _wait_for_restart(job, before)
    job.cluster.start_node(node)


def _lose_daemon(job: Job, draw: random.Random) -> None:
    """Slurm loses a node whose ranks go on, and begins anew elsewhere."""
    node = draw.choice(_nodes(job))
    before = job.num_restarts
    job.cluster.kill_slurmd(node)
    _wait_for_restart(job, before)
    job.cluster.start_node(node)


def _lose_controller(job: Job, draw: random.Random) -> None:
    """A rank is killed while nobody answers what becomes of the job."""
    rank = job.rank(draw.randrange(NUM_RANKS))
    job.cluster.signal_controller(SIGSTOP)
    rank.send_signal(SIGKILL)
    time.sleep(_CONTROLLER_AWAY_SECONDS)
    job.cluster.signal_controller(SIGCONT)


def _ask_to_save(job: Job, _: random.Random) -> None:
    job.cluster.cancel(job.id, "USR1")


def _requeue(job: Job, _: random.Random) -> None:
    job.cluster.requeue(job.id)


def _cancel(job: Job, _: random.Random) -> None:
    """The same command submits it again."""
    job.cluster.cancel(job.id)
    job.cluster.wait(job.id, timeout=120)


def _end_time(job: Job, _: random.Random) -> None:
    """The time limit is over; where saving takes longer than KillWait, the same command submits it again."""
    before = job.num_restarts
    _limit(job, 1)
    _wait_for_restart(job, before)
    if job.state not in ENDED:
        _limit(job, MINUTES)


FAULTS: dict[str, Fault] = {
    "a rank is killed": _kill_rank,
    "a rank crashes": _crash_rank,
    "a rank freezes": _freeze_rank,
    "the disk is full": _fill_disk,
    "a checkpoint is damaged": _damage_checkpoint,
    "a node dies": _lose_node,
    "a node's daemon dies": _lose_daemon,
    "the controller is away": _lose_controller,
    "told to save": _ask_to_save,
    "requeued": _requeue,
    "cancelled": _cancel,
    "its time is over": _end_time,
}


def _nodes(job: Job) -> list[str]:
    nodes = job.cluster.show(job.id)["NodeList"]
    return job.cluster.run("scontrol", "show", "hostnames", nodes).split()


def _limit(job: Job, minutes: int) -> None:
    job.cluster.run("scontrol", "update", f"JobId={job.id}", f"TimeLimit={minutes}")


def _wait_for_restart(job: Job, before: int) -> None:
    wait_for(
        lambda: job.num_restarts > before or job.state in ENDED, f"job {job.id}: another start"
    )
