"""What Slurm says of jobs: asked once for all of them, where there is a Slurm to ask."""

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
    """What Slurm says of a job.

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
        """Whether it will do nothing any more."""
        return self.state not in WAITS + RUNS

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return f"job {self.job} is {self.state}{why}"


def ask_slurm(jobs: Iterable[str]) -> dict[str, Word]:
    """Ask the controller, and of those that it has forgotten the accounting.

    Args:
        jobs: Their ids.

    Returns:
        What Slurm says of each; nothing at all where it is not there or does not answer.
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
        old = _answer(
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            chosen,
            "--format=JobIDRaw,State,Reason",
        )
        found = {word.job: word for word in _words(old or "")} | found
    return {job: found.get(job) or Word(job=job, state=FORGOTTEN, reason="") for job in ids}


def _answer(*command: str) -> str | None:
    """What a program prints; None where it cannot tell."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if (
        done.returncode and "Invalid job id" not in done.stderr
    ):  # its way to say that it knows none of them
        return None
    return done.stdout


def _words(answer: str) -> Iterator[Word]:
    for line in answer.splitlines():
        fields = line.split("|")
        if len(fields) == 3 and fields[1].strip() and line.isprintable():
            job, state, reason = (field.strip() for field in fields)
            yield Word(job=job, state=state.split()[0], reason=reason)  # "CANCELLED by 1000"
