"""The states of jobs in Slurm, asked once for all of them, where there is a Slurm to ask."""

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WAITS = (
    "PENDING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
    "CONFIGURING",
    "RESV_DEL_HOLD",
)
RUNS = ("RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "SUSPENDED", "STOPPED", "RESIZING")
FORGOTTEN = "FORGOTTEN"
"""A job that Slurm, which did answer, no longer knows."""

_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Word:
    """The state of a job in Slurm.

    Attributes:
        job: Its id.
        state: As Slurm writes it, such as `RUNNING`, or `FORGOTTEN`.
        reason: Why it waits, or has ended; `None` where Slurm has none.
    """

    job: str
    state: str
    reason: str

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.state in WAITS

    @property
    def has_ended(self) -> bool:
        """Whether it neither runs nor waits."""
        return self.state not in WAITS + RUNS

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return f"job {self.job} is {self.state}{why}"


def ask_slurm(jobs: Iterable[str]) -> dict[str, Word]:
    """Ask the controller about jobs, and the accounting about those that the controller has forgotten.

    Args:
        jobs: Their ids.

    Returns:
        The state of each job; empty where Slurm is not there or does not answer.
    """
    ids = sorted({job for job in jobs if job.isdecimal()})
    if not ids:
        return {}

    chosen = f"--jobs={','.join(ids)}"
    queue = _answer("squeue", "--noheader", "--states=all", chosen, "--format=%A|%T|%r")
    if queue is None:
        return {}

    found = {word.job: word for word in _words(queue)}
    if len(found) < len(ids):
        options = ("--noheader", "--parsable2", "--allocations", chosen)
        accounted = _answer("sacct", *options, "--format=JobIDRaw,State,Reason") or ""
        found = {word.job: word for word in _words(accounted)} | found
    return {job: found.get(job) or Word(job=job, state=FORGOTTEN, reason="") for job in ids}


def _answer(*command: str) -> str | None:
    """Return what a program prints; None where it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # "Invalid job id" says that Slurm knows none of them.
    failed = done.returncode and "Invalid job id" not in done.stderr
    return None if failed else done.stdout


def _words(answer: str) -> Iterator[Word]:
    for line in answer.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and fields[1] and line.isprintable():
            job, state, reason = fields
            # The first word of "CANCELLED by 1000".
            yield Word(job=job, state=state.split()[0], reason=reason)
